// The server's certificate with its key, and the authorities that clients' certificates are checked
// against; read from files, and again when they change. What is read must fit together: a pair that
// is broken leaves the one before in use.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"

namespace sluice::server {

enum class ClientAuth { kNone, kOptional, kRequire };

struct TlsOptions {
  // PEM: the certificate with those between it and the root; its key; the authorities of clients.
  // Empty certificate: no TLS.
  std::string cert;
  std::string key;
  std::string client_ca;
  // Whether clients need a certificate; with one it is always checked.
  ClientAuth client_auth = ClientAuth::kNone;

  bool enabled() const { return !cert.empty() || !key.empty() || !client_ca.empty(); }
};

// PEM texts that fit together.
struct Certificates {
  std::string chain;
  std::string key;
  std::string client_ca;
  absl::Time expires;
  std::string subject;

  // INVALID_ARGUMENT (INVALID_CONFIG) says which file does not do, and why: not there, no PEM, no
  // key of the certificate, expired, not for servers.
  static absl::StatusOr<Certificates> Read(const TlsOptions& options, absl::Time now);
};

// The authorities (PEM) in the file that `field` names; nothing where it names none.
// INVALID_ARGUMENT (INVALID_CONFIG) when the file is not there or has none.
absl::StatusOr<std::string> ReadAuthorities(std::string_view field, const std::string& path);

class CertificateStore {
 public:
  static absl::StatusOr<std::unique_ptr<CertificateStore>> Open(const TlsOptions& options,
                                                                absl::Time now);

  std::shared_ptr<const Certificates> current() const EXCLUDES(mu_);
  // An error leaves what there is.
  absl::Status Reload(absl::Time now) EXCLUDES(mu_);

  const TlsOptions& options() const { return options_; }

 private:
  explicit CertificateStore(TlsOptions options) : options_(std::move(options)) {}

  const TlsOptions options_;
  mutable Mutex mu_;
  std::shared_ptr<const Certificates> current_ GUARDED_BY(mu_);
};

}  // namespace sluice::server
