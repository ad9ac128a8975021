// Keys, certificates and signed tokens, made on the spot.
//
//   const Authority authority("our CA");
//   const Issued server = authority.Issue({.name = "localhost", .for_servers = true});
//   const SigningKey key = SigningKey::Ec("k1");
//   const std::string token = key.Sign({{"sub", "alice"}, ...});
//
// Thread rule: one thread.
#pragma once

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "nlohmann/json.hpp"

namespace sluice {

using KeyHandle = std::shared_ptr<EVP_PKEY>;

inline KeyHandle NewEcKey() { return {EVP_EC_gen("P-256"), &EVP_PKEY_free}; }
inline KeyHandle NewRsaKey(unsigned bits = 2048) { return {EVP_RSA_gen(bits), &EVP_PKEY_free}; }
inline KeyHandle NewEd25519Key() {
  return {EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), &EVP_PKEY_free};
}

inline std::string Base64Url(std::string_view bytes) {
  std::string text = absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()));
  text.resize(text.find_last_not_of('=') + 1);
  return text;
}

// What a function of OpenSSL writes into a BIO.
template <class F>
std::string Written(F&& write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  write(out.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}
inline std::string PemOf(const KeyHandle& key) {
  return Written([&](BIO* out) {
    PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}
inline std::string PublicPemOf(const KeyHandle& key) {
  return Written([&](BIO* out) { PEM_write_bio_PUBKEY(out, key.get()); });
}

struct Issued {
  std::string cert;
  std::string key;
};

struct CertificateRequest {
  std::string name = "localhost";
  // Of subject alternative names, as OpenSSL writes them.
  std::string alternative = "DNS:localhost,IP:127.0.0.1";
  bool for_servers = true;
  // From now on, in seconds.
  long valid_from = -60;
  long valid_until = 3600;
};

// Signs certificates.
class Authority {
 public:
  explicit Authority(const std::string& name) : key_(NewEcKey()) {
    certificate_ = Make(name, key_, {.name = name, .alternative = ""}, nullptr, "critical,CA:TRUE");
  }

  std::string cert() const { return PemOfCertificate(certificate_.get()); }
  Issued Issue(const CertificateRequest& request) const {
    const KeyHandle key = NewEcKey();
    const Handle made = Make(request.name, key, request, this, "critical,CA:FALSE");
    return {PemOfCertificate(made.get()), PemOf(key)};
  }

 private:
  using Handle = std::shared_ptr<X509>;

  static std::string PemOfCertificate(X509* certificate) {
    return Written([&](BIO* out) { PEM_write_bio_X509(out, certificate); });
  }
  static void Extend(X509* certificate, int nid, const std::string& value) {
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()), &X509_EXTENSION_free);
    X509_add_ext(certificate, extension.get(), -1);
  }
  static Handle Make(const std::string& name, const KeyHandle& key,
                     const CertificateRequest& request, const Authority* by,
                     const std::string& constraints) {
    static long serial = 1;
    Handle made(X509_new(), &X509_free);
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), request.valid_from);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), request.valid_until);
    X509_set_pubkey(made.get(), key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(
        made.get(), X509_get_subject_name(by != nullptr ? by->certificate_.get() : made.get()));
    Extend(made.get(), NID_basic_constraints, constraints);
    if (by != nullptr)
      Extend(made.get(), NID_ext_key_usage, request.for_servers ? "serverAuth" : "clientAuth");
    if (!request.alternative.empty()) Extend(made.get(), NID_subject_alt_name, request.alternative);
    X509_sign(made.get(), by != nullptr ? by->key_.get() : key.get(), EVP_sha256());
    return made;
  }

  KeyHandle key_;
  Handle certificate_;
};

// Signs JSON Web Tokens, and shows its public half as a JSON Web Key.
class SigningKey {
 public:
  using Json = nlohmann::json;

  static SigningKey Rsa(std::string id, unsigned bits = 2048) {
    return {std::move(id), "RS256", NewRsaKey(bits)};
  }
  static SigningKey Ec(std::string id) { return {std::move(id), "ES256", NewEcKey()}; }
  static SigningKey Ed(std::string id) { return {std::move(id), "EdDSA", NewEd25519Key()}; }

  const KeyHandle& key() const { return key_; }

  std::string Sign(const Json& claims) const {
    return Sign({{"alg", algorithm_}, {"kid", id_}, {"typ", "JWT"}}, claims);
  }
  std::string Sign(const Json& header, const Json& claims) const {
    const std::string text = Base64Url(header.dump()) + "." + Base64Url(claims.dump());
    return text + "." + Base64Url(Signature(text));
  }

  Json PublicJwk() const {
    Json jwk = {{"kid", id_}, {"alg", algorithm_}, {"use", "sig"}};
    if (algorithm_ == "RS256") {
      jwk["kty"] = "RSA";
      jwk["n"] = Base64Url(Number("n"));
      jwk["e"] = Base64Url(Number("e"));
    } else if (algorithm_ == "ES256") {
      jwk["kty"] = "EC";
      jwk["crv"] = "P-256";
      jwk["x"] = Base64Url(Number("qx", 32));
      jwk["y"] = Base64Url(Number("qy", 32));
    } else {
      unsigned char bytes[32];
      size_t size = sizeof bytes;
      EVP_PKEY_get_raw_public_key(key_.get(), bytes, &size);
      jwk["kty"] = "OKP";
      jwk["crv"] = "Ed25519";
      jwk["x"] = Base64Url({reinterpret_cast<char*>(bytes), size});
    }
    return jwk;
  }

 private:
  SigningKey(std::string id, std::string algorithm, KeyHandle key)
      : id_(std::move(id)), algorithm_(std::move(algorithm)), key_(std::move(key)) {}

  std::string Number(const char* what, int size = 0) const {
    BIGNUM* number = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), what, &number);
    std::string bytes(static_cast<size_t>(size > 0 ? size : BN_num_bytes(number)), '\0');
    BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()),
                 static_cast<int>(bytes.size()));
    BN_free(number);
    return bytes;
  }

  std::string Signature(const std::string& text) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          &EVP_MD_CTX_free);
    EVP_DigestSignInit(context.get(), nullptr, algorithm_ == "EdDSA" ? nullptr : EVP_sha256(),
                       nullptr, key_.get());
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    size_t size = 0;
    EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size());
    std::string signature(size, '\0');
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                   text.size());
    signature.resize(size);
    return algorithm_ == "ES256" ? FromDer(signature) : signature;
  }

  // Two numbers of 32 bytes.
  static std::string FromDer(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> parts(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), &ECDSA_SIG_free);
    std::string raw(64, '\0');
    auto* out = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(parts.get()), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(parts.get()), out + 32, 32);
    return raw;
  }

  std::string id_;
  std::string algorithm_;
  KeyHandle key_;
};

inline std::string KeySetOf(std::initializer_list<SigningKey> keys) {
  nlohmann::json set = {{"keys", nlohmann::json::array()}};
  for (const SigningKey& key : keys) set["keys"].push_back(key.PublicJwk());
  return set.dump();
}

}  // namespace sluice
