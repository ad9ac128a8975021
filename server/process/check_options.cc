#include "server/process/check_options.h"

#include "absl/time/clock.h"
#include "server/security/auth/api_tokens.h"
#include "server/security/auth/key_source.h"
#include "server/security/auth/policy.h"
#include "server/security/tls/certificates.h"
#include "server/security/tls/exposure.h"
#include "server/tracing/collector.h"

namespace sluice::server {

std::vector<absl::Status> CheckOptions(const Options& options) {
  std::vector<absl::Status> mistakes;
  const auto look = [&](const absl::Status& status) {
    if (!status.ok()) mistakes.push_back(status);
  };
  const bool tls = options.tls.enabled();
  look(CheckExposure("listen", options.listen, tls, options.insecure));
  look(CheckExposure("http", options.http, tls, options.insecure));
  if (tls) look(Certificates::Read(options.tls, absl::Now()).status());
  const AuthOptions& auth = options.auth;
  look(auth.Check());
  if (!auth.policy_file.empty()) look(Policy::Read(auth.policy_file).status());
  if (!auth.tokens_file.empty()) look(ApiTokens::Read(auth.tokens_file).status());
  if (!auth.jwt_keys.empty()) look(KeySource::Check(auth.jwt_keys));
  look(ReadAuthorities("push.ca", options.push.http.ca_file).status());
  if (!options.trace.endpoint.empty()) look(GrpcCollector::Open(options.trace).status());
  return mistakes;
}

}  // namespace sluice::server
