#include "server/security/tls/http_tls.h"

#include <httplib.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <string>

namespace sluice::server {
namespace {

// Gives a connection the certificate, its chain and its key; 0 ends the handshake.
int UseCurrent(SSL* ssl, void* store) {
  const auto current = static_cast<const CertificateStore*>(store)->current();
  const std::unique_ptr<BIO, decltype(&BIO_free)> chain(
      BIO_new_mem_buf(current->chain.data(), static_cast<int>(current->chain.size())), &BIO_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> key_text(
      BIO_new_mem_buf(current->key.data(), static_cast<int>(current->key.size())), &BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
  const auto next = [&chain] {
    return X509Ptr(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr), &X509_free);
  };
  const X509Ptr own = next();
  SSL_certs_clear(ssl);
  if (own == nullptr || key == nullptr || SSL_use_certificate(ssl, own.get()) != 1 ||
      SSL_use_PrivateKey(ssl, key.get()) != 1) {
    return 0;
  }
  for (X509Ptr above = next(); above != nullptr; above = next())
    SSL_add1_chain_cert(ssl, above.get());
  // The end of the text is no error of the connection.
  ERR_clear_error();
  return 1;
}

}  // namespace

std::unique_ptr<httplib::Server> MakeHttps(const CertificateStore& certificates) {
  return std::make_unique<httplib::SSLServer>([&certificates](SSL_CTX& context) {
    SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
    // OpenSSL's interface has no const; nothing is changed through it.
    SSL_CTX_set_cert_cb(&context, &UseCurrent, const_cast<CertificateStore*>(&certificates));
    return true;
  });
}

}  // namespace sluice::server
