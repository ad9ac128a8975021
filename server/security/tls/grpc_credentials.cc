// gRPC's C++ API has certificates that are read anew only from files it looks at itself, and a pair
// that does not fit together, as it is between the writing of two files, costs it every handshake.
// Its C API asks for the certificates at each one.
#include "server/security/tls/grpc_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <string>
#include <utility>

#include "core/base/mutex.h"
#include "grpcpp/version_info.h"

namespace sluice::server {
namespace {

grpc_ssl_client_certificate_request_type RequestOf(ClientAuth auth) {
  switch (auth) {
    case ClientAuth::kRequire:
      return GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    case ClientAuth::kOptional:
      return GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
    case ClientAuth::kNone:
      break;
  }
  return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
}

// What gRPC asks for certificates.
class Fetcher {
 public:
  explicit Fetcher(const CertificateStore& certificates) : certificates_(certificates) {}

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<Fetcher*>(self)->Fetch(config);
  }

  grpc_server_credentials* Make() {
    grpc_ssl_server_credentials_options* const options =
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            RequestOf(certificates_.options().client_auth), &Fetcher::Fetch, this);
    return grpc_ssl_server_credentials_create_with_options(options);
  }

 private:
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const auto current = certificates_.current();
    MutexLock lock(mu_);
    if (current == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    given_ = current;
    const grpc_ssl_pem_key_cert_pair pair = {current->key.c_str(), current->chain.c_str()};
    // gRPC wants authorities also where no client is asked for a certificate.
    const std::string& authorities =
        current->client_ca.empty() ? current->chain : current->client_ca;
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const CertificateStore& certificates_;
  Mutex mu_;
  std::shared_ptr<const Certificates> given_ GUARDED_BY(mu_);
};

#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 57
class FetchedCredentials final : public grpc::ServerCredentials {
 public:
  explicit FetchedCredentials(std::unique_ptr<Fetcher> fetcher)
      : fetcher_(std::move(fetcher)), credentials_(fetcher_->Make()) {}
  ~FetchedCredentials() override { grpc_server_credentials_release(credentials_); }
  FetchedCredentials(const FetchedCredentials&) = delete;
  FetchedCredentials& operator=(const FetchedCredentials&) = delete;

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  const std::unique_ptr<Fetcher> fetcher_;
  grpc_server_credentials* const credentials_;
};
#else
class FetchedCredentials final : public grpc::ServerCredentials {
 public:
  explicit FetchedCredentials(std::unique_ptr<Fetcher> fetcher)
      : grpc::ServerCredentials(fetcher->Make()), fetcher_(std::move(fetcher)) {}
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  const std::unique_ptr<Fetcher> fetcher_;
};
#endif

}  // namespace

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const CertificateStore& certificates) {
  return std::make_shared<FetchedCredentials>(std::make_unique<Fetcher>(certificates));
}

}  // namespace sluice::server
