// JSON Web Tokens (RFC 7519) signed with RS256, ES256 or EdDSA (RFC 7518, RFC 8037), and the keys
// they are checked with (RFC 7517). On OpenSSL alone: why, docs/adr/23.
//
// A key stands for one algorithm, and a token's header may only name the algorithm of the key that
// it names: "none", HMAC with a public key, and keys of another kind have no way in.
//
// Thread rule: pure functions; keys are not changed once they are read.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sluice::server {

enum class JwtAlgorithm { kRs256, kEs256, kEdDsa };

struct JwtKey {
  std::string id;
  JwtAlgorithm algorithm;
  std::shared_ptr<EVP_PKEY> key;
};

class JwtKeys {
 public:
  // A JSON Web Key Set. Keys for other purposes, of other kinds, RSA keys below 2,048 bits and
  // secret keys are left out. INVALID_ARGUMENT (INVALID_CONFIG) when it is no key set, or has no
  // key that can be used.
  static absl::StatusOr<std::shared_ptr<const JwtKeys>> Parse(std::string_view json);

  explicit JwtKeys(std::vector<JwtKey> keys) : keys_(std::move(keys)) {}

  // The key with this id and algorithm; without an id the only one of the algorithm. Null for none.
  const JwtKey* Find(std::string_view id, JwtAlgorithm algorithm) const;
  // Whether this very key is one of them, by whatever id.
  bool Has(const EVP_PKEY* key) const;
  size_t size() const { return keys_.size(); }

 private:
  std::vector<JwtKey> keys_;
};

struct JwtRules {
  std::string issuer;
  std::string audience;
  // The claim that says who it is.
  std::string identity_claim = "sub";
  absl::Duration clock_skew = absl::Seconds(30);
};

struct JwtClaims {
  std::string identity;
  // With the skew.
  absl::Time expires;
  // What the token is signed with.
  std::shared_ptr<EVP_PKEY> key;
};

// No token is longer.
inline constexpr size_t kMaxJwtBytes = 8192;

// UNAUTHENTICATED (CREDENTIALS_INVALID, CREDENTIALS_EXPIRED) says what is wrong. *unknown_key is
// set when the token names a key that is not there: with newer keys it may be good.
absl::StatusOr<JwtClaims> CheckJwt(std::string_view token, const JwtKeys& keys,
                                   const JwtRules& rules, absl::Time now, bool* unknown_key);

}  // namespace sluice::server
