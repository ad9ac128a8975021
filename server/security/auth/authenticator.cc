#include "server/security/auth/authenticator.h"

#include <utility>

#include "absl/strings/match.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"

namespace sluice::server {
namespace {

constexpr std::string_view kBearer = "Bearer ";
// A stranger's certificate name or header must not fill the table.
constexpr size_t kMaxCredentialBytes = kMaxJwtBytes + kBearer.size();

}  // namespace

absl::Status AuthOptions::Check() const {
  const auto missing = [](std::string_view field) {
    return Error(Reason::kInvalidConfig, fmt::format("{}: is required with auth.jwt_keys", field),
                 {{"field", std::string(field)}});
  };
  if (jwt_keys.empty()) return absl::OkStatus();
  if (jwt_issuer.empty()) return missing("auth.jwt_issuer");
  if (jwt_audience.empty()) return missing("auth.jwt_audience");
  return absl::OkStatus();
}

Authenticator::Authenticator(const AuthOptions& options, const Clock& clock,
                             SecurityMetrics& metrics)
    : options_(options),
      rules_{options.jwt_issuer, options.jwt_audience, options.jwt_identity,
             options.jwt_clock_skew},
      clock_(clock),
      metrics_(metrics),
      failures_(clock) {}

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::Create(const AuthOptions& options,
                                                                     const Clock& clock,
                                                                     SecurityMetrics& metrics) {
  if (absl::Status status = options.Check(); !status.ok()) return status;
  auto made = std::unique_ptr<Authenticator>(new Authenticator(options, clock, metrics));
  if (!options.jwt_keys.empty()) {
    auto keys =
        KeySource::Start(options.jwt_keys, clock, metrics, [raw = made.get()] { raw->Forget(); });
    if (!keys.ok()) return keys.status();
    made->keys_ = *std::move(keys);
  }
  if (absl::Status status = made->ReloadTokens(); !status.ok()) return status;
  return made;
}

std::shared_ptr<const ApiTokens> Authenticator::tokens() const {
  MutexLock lock(mu_);
  return tokens_;
}

absl::Status Authenticator::ReloadTokens() {
  if (options_.tokens_file.empty()) return absl::OkStatus();
  auto tokens = ApiTokens::Read(options_.tokens_file);
  if (!tokens.ok()) return tokens.status();
  {
    MutexLock lock(mu_);
    tokens_ = *std::move(tokens);
  }
  Forget();
  return absl::OkStatus();
}

absl::Status Authenticator::ReloadKeys() {
  return keys_ == nullptr ? absl::OkStatus() : keys_->Reload();
}

absl::StatusOr<std::shared_ptr<const Identity>> Authenticator::Identify(
    const Credentials& credentials) {
  if (credentials.authorization) {
    const std::string_view header = *credentials.authorization;
    if (auto known = FindKnown(header)) return known;
    return Check(header, credentials.peer);
  }
  if (options_.certificates && !credentials.certificate.empty() &&
      credentials.certificate.size() <= kMaxCredentialBytes) {
    const std::string principal = fmt::format("cert:{}", credentials.certificate);
    if (auto known = FindKnown(principal)) return known;
    Identity identity;
    identity.principal = principal;
    return Keep(principal, std::move(identity), generation_);
  }
  return anonymous_;
}

absl::StatusOr<std::shared_ptr<const Identity>> Authenticator::Check(std::string_view header,
                                                                     std::string_view peer) {
  const uint64_t generation = generation_;
  const std::string_view address = AddressOf(peer);
  if (const absl::Duration wait = failures_.Wait(address); wait > absl::ZeroDuration()) {
    metrics_.throttled.Add();
    return RetryableError(Reason::kTooManyFailures,
                          "too many calls with bad credentials came from this address", wait);
  }
  absl::StatusOr<Identity> identity =
      Error(Reason::kCredentialsInvalid, "authorization: must be Bearer and a token");
  if (header.size() > kMaxCredentialBytes) {
    identity = Error(Reason::kCredentialsInvalid, "the token is too long");
  } else if (absl::StartsWithIgnoreCase(ToAbsl(header), ToAbsl(kBearer))) {
    const std::string_view token = header.substr(kBearer.size());
    identity = token.substr(0, kTokenPrefix.size()) == kTokenPrefix ? CheckToken(token)
                                                                    : CheckJwtBearer(token);
  }
  if (identity.ok()) {
    metrics_.accepted.Add();
    return Keep(header, *std::move(identity), generation);
  }
  metrics_.rejected.Add();
  // While keys are on their way nobody knows whether it is a failure.
  if (ReasonOf(identity.status()) != Reason::kKeysUnavailable) failures_.Failed(address);
  return identity.status();
}

absl::StatusOr<Identity> Authenticator::CheckToken(std::string_view presented) const {
  const auto all = tokens();
  const ApiTokens::Token* const token = all != nullptr ? all->Find(presented) : nullptr;
  if (token == nullptr) return Error(Reason::kCredentialsInvalid, "the API token is not known");
  if (clock_.WallNow() >= token->expires)
    return Error(Reason::kCredentialsExpired, "the API token has expired");
  return Identity{fmt::format("token:{}", token->name), token->expires, token->hash, nullptr};
}

absl::StatusOr<Identity> Authenticator::CheckJwtBearer(std::string_view token) {
  if (keys_ == nullptr) return Error(Reason::kCredentialsInvalid, "the token is not known");
  const auto keys = keys_->keys();
  const auto unavailable = [] {
    return RetryableError(Reason::kKeysUnavailable,
                          "the keys that tokens are checked with are on their way",
                          absl::Seconds(1));
  };
  if (keys == nullptr) return unavailable();
  bool unknown_key = false;
  auto claims = CheckJwt(token, *keys, rules_, clock_.WallNow(), &unknown_key);
  if (unknown_key && keys_->AskForNewerThan(*keys)) return unavailable();
  if (!claims.ok()) return claims.status();
  return Identity{
      fmt::format("jwt:{}", claims->identity), claims->expires, {}, std::move(claims->key)};
}

absl::Status Authenticator::StillValid(const Identity& identity) const {
  if (clock_.WallNow() >= identity.expires)
    return Error(Reason::kCredentialsExpired, "the credentials have expired");
  if (identity.jwt_key != nullptr) {
    const auto keys = keys_->keys();
    if (keys == nullptr || !keys->Has(identity.jwt_key.get())) {
      return Error(Reason::kCredentialsInvalid,
                   "the key that the token is signed with is not accepted any more");
    }
  }
  if (identity.token_hash.empty()) return absl::OkStatus();
  const auto all = tokens();
  const ApiTokens::Token* const token =
      all != nullptr ? all->FindHash(identity.token_hash) : nullptr;
  if (token == nullptr || fmt::format("token:{}", token->name) != identity.principal) {
    return Error(Reason::kCredentialsInvalid, "the API token is not known any more");
  }
  if (clock_.WallNow() >= token->expires)
    return Error(Reason::kCredentialsExpired, "the API token has expired");
  return absl::OkStatus();
}

std::shared_ptr<const Identity> Authenticator::FindKnown(std::string_view key) {
  Shard& shard = ShardOf(key);
  MutexLock lock(shard.mu);
  const auto found = shard.known.find(ToAbsl(key));
  if (found == shard.known.end()) return nullptr;
  if (clock_.WallNow() < found->second->expires) return found->second;
  // To be looked at again, and told so.
  shard.known.erase(found);
  return nullptr;
}

std::shared_ptr<const Identity> Authenticator::Keep(std::string_view key, Identity identity,
                                                    uint64_t generation) {
  auto kept = std::make_shared<const Identity>(std::move(identity));
  Shard& shard = ShardOf(key);
  MutexLock lock(shard.mu);
  if (generation != generation_) return kept;
  if (shard.known.size() >= kMaxKnownPerShard) shard.known.clear();
  shard.known[std::string(key)] = kept;
  return kept;
}

void Authenticator::Forget() {
  ++generation_;
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mu);
    shard.known.clear();
  }
}

}  // namespace sluice::server
