// Who calls.
//
// Thread rule: value types; an Identity is not changed once it is made.
#pragma once

#include <openssl/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "server/security/auth/policy.h"

namespace sluice::server {

// What credentials say, made once for all calls that bring the same.
struct Identity {
  // "jwt:alice@example.com", "token:ci", "cert:spiffe://example.com/billing", "anonymous".
  std::string principal = std::string(kAnonymous);
  absl::Time expires = absl::InfiniteFuture();
  // The hash of the API token, by which it is found again after the file of tokens was read anew;
  // empty otherwise.
  std::string token_hash;
  // What the JWT is signed with, which may be taken away; null otherwise.
  std::shared_ptr<EVP_PKEY> jwt_key;

  bool anonymous() const { return principal == kAnonymous; }
};

// Who makes one call, and from where. Null identity: nobody asked, since nobody is asked.
struct Caller {
  std::shared_ptr<const Identity> identity;
  // As gRPC says it: "ipv4:127.0.0.1:51234".
  std::string peer;
  // What the client calls its request (x-request-id); made up where the audit log needs one.
  std::string request_id;
};

}  // namespace sluice::server
