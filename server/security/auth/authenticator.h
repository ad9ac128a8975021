// Who makes a call: by a JWT or an API token in "authorization: Bearer ...", else by the
// certificate of the connection, else nobody
// ("anonymous", who may do what the policy lets everyone do).
//
// What credentials were found to say is kept until they expire or something is read again, so that
// a call costs one look into a table.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "server/security/auth/api_tokens.h"
#include "server/security/auth/auth_options.h"
#include "server/security/auth/failure_limit.h"
#include "server/security/auth/identity.h"
#include "server/security/auth/key_source.h"
#include "server/security/auth/security_metrics.h"

namespace sluice::server {

// What a call brings.
struct Credentials {
  // The value of the header, if there is one.
  std::optional<std::string_view> authorization;
  // Of the connection's certificate, checked by TLS: its SPIFFE URI or subject. Empty without.
  std::string_view certificate;
  // As gRPC says it.
  std::string_view peer;
};

class Authenticator {
 public:
  // Reads the files that the options name.
  static absl::StatusOr<std::unique_ptr<Authenticator>> Create(const AuthOptions& options,
                                                               const Clock& clock,
                                                               SecurityMetrics& metrics);

  // UNAUTHENTICATED; RESOURCE_EXHAUSTED (TOO_MANY_FAILURES); UNAVAILABLE (KEYS_UNAVAILABLE).
  absl::StatusOr<std::shared_ptr<const Identity>> Identify(const Credentials& credentials);

  // Whether who was identified once still is who it is: not expired, and neither its token nor the
  // key of its JWT taken away.
  absl::Status StillValid(const Identity& identity) const;
  // Goes up whenever somebody may not be who it was any more.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // Reads tokens, or the file of keys, again; an error leaves what there is.
  absl::Status ReloadTokens();
  absl::Status ReloadKeys();

 private:
  using Known = absl::flat_hash_map<std::string, std::shared_ptr<const Identity>>;
  // Threads meet less often in parts of a table.
  static constexpr size_t kShards = 16;
  static constexpr size_t kMaxKnownPerShard = 4096;
  struct Shard {
    mutable Mutex mu;
    Known known GUARDED_BY(mu);
  };

  Authenticator(const AuthOptions& options, const Clock& clock, SecurityMetrics& metrics);

  absl::StatusOr<std::shared_ptr<const Identity>> Check(std::string_view bearer,
                                                        std::string_view peer);
  absl::StatusOr<Identity> CheckToken(std::string_view token) const;
  absl::StatusOr<Identity> CheckJwtBearer(std::string_view token);
  std::shared_ptr<const ApiTokens> tokens() const EXCLUDES(mu_);
  Shard& ShardOf(std::string_view key) {
    return shards_[std::hash<std::string_view>()(key) % kShards];
  }
  std::shared_ptr<const Identity> FindKnown(std::string_view key);
  // Not if something was read again since `generation`: then it may be wrong already.
  std::shared_ptr<const Identity> Keep(std::string_view key, Identity identity,
                                       uint64_t generation);
  void Forget();

  const AuthOptions options_;
  const JwtRules rules_;
  const Clock& clock_;
  SecurityMetrics& metrics_;
  const std::shared_ptr<const Identity> anonymous_ = std::make_shared<const Identity>();
  FailureLimit failures_;
  mutable Mutex mu_;
  std::shared_ptr<const ApiTokens> tokens_ GUARDED_BY(mu_);
  std::atomic<uint64_t> generation_ = 0;
  std::array<Shard, kShards> shards_;
  // The last one: its thread calls Forget.
  std::unique_ptr<KeySource> keys_;
};

}  // namespace sluice::server
