// How callers are known, and where it is said what they may do. Empty everywhere: nobody is asked.
//
// Thread rule: a value type.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sluice::server {

struct AuthOptions {
  // server/security/auth/policy.h, server/security/auth/api_tokens.h.
  std::string policy_file;
  std::string tokens_file;
  // Whether a client's certificate says who it is.
  bool certificates = false;
  // A JSON Web Key Set: a file, or a URL with https. With it the issuer and the audience are
  // required.
  std::string jwt_keys;
  std::string jwt_issuer;
  std::string jwt_audience;
  std::string jwt_identity = "sub";
  absl::Duration jwt_clock_skew = absl::Seconds(30);

  // What keys of JWTs need is there; INVALID_ARGUMENT (INVALID_CONFIG) names what is not.
  absl::Status Check() const;
  bool enabled() const {
    return !policy_file.empty() || !tokens_file.empty() || certificates || !jwt_keys.empty();
  }
};

}  // namespace sluice::server
