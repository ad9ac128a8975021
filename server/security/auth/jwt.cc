#include "server/security/auth/jwt.h"

#include <openssl/ecdsa.h>

#include <array>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "nlohmann/json.hpp"
#include "server/base/json_fields.h"

namespace sluice::server {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxIdentityBytes = 256;
constexpr size_t kEs256SignatureBytes = 64;
// A time that a token may name: the year 9999.
constexpr double kLastSecond = 253402300799.0;

absl::Status Invalid(std::string_view why) { return Error(Reason::kCredentialsInvalid, why); }

// An object, or nothing.
std::optional<Json> DecodeObject(std::string_view base64url) {
  std::string text;
  if (base64url.find('=') != base64url.npos ||
      !absl::WebSafeBase64Unescape(ToAbsl(base64url), &text))
    return std::nullopt;
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

// Seconds since 1970, perhaps with a fraction.
std::optional<absl::Time> TimeOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const auto seconds = found->get<double>();
  if (!(seconds >= 0 && seconds <= kLastSecond)) return std::nullopt;
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

std::optional<JwtAlgorithm> AlgorithmNamed(std::string_view name) {
  if (name == "RS256") return JwtAlgorithm::kRs256;
  if (name == "ES256") return JwtAlgorithm::kEs256;
  if (name == "EdDSA") return JwtAlgorithm::kEdDsa;
  return std::nullopt;
}

bool HasAudience(const Json& claims, const std::string& wanted) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  if (found->is_string()) return found->get<std::string>() == wanted;
  if (!found->is_array()) return false;
  for (const Json& one : *found) {
    if (one.is_string() && one.get<std::string>() == wanted) return true;
  }
  return false;
}

// ES256 signs with two numbers of 32 bytes, one after the other; OpenSSL wants them in DER.
std::optional<std::string> ToDer(std::string_view signature) {
  if (signature.size() != kEs256SignatureBytes) return std::nullopt;
  const auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
  constexpr int kHalf = kEs256SignatureBytes / 2;
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> parts(ECDSA_SIG_new(),
                                                                    &ECDSA_SIG_free);
  BIGNUM* r = BN_bin2bn(bytes, kHalf, nullptr);
  BIGNUM* s = BN_bin2bn(bytes + kHalf, kHalf, nullptr);
  if (ECDSA_SIG_set0(parts.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return std::nullopt;
  }
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(parts.get(), &der);
  if (size <= 0) return std::nullopt;
  std::string out(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return out;
}

bool Verifies(const JwtKey& key, std::string_view text, std::string signature) {
  if (key.algorithm == JwtAlgorithm::kEs256) {
    auto der = ToDer(signature);
    if (!der) return false;
    signature = *std::move(der);
  }
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  const EVP_MD* const digest = key.algorithm == JwtAlgorithm::kEdDsa ? nullptr : EVP_sha256();
  return EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.key.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                          signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                          text.size()) == 1;
}

absl::StatusOr<JwtClaims> CheckClaims(const Json& claims, const JwtRules& rules, absl::Time now) {
  const auto expires = TimeOf(claims, "exp");
  if (!expires) return Invalid("the token does not say when it expires");
  const absl::Time end = *expires + rules.clock_skew;
  if (now >= end) return Error(Reason::kCredentialsExpired, "the token has expired");
  if (claims.contains("nbf")) {
    const auto begin = TimeOf(claims, "nbf");
    if (!begin || now < *begin - rules.clock_skew) return Invalid("the token is not valid yet");
  }
  if (StringOf(claims, "iss") != rules.issuer)
    return Invalid("the token is of an issuer that is not accepted");
  if (!HasAudience(claims, rules.audience)) return Invalid("the token is for another audience");
  const std::string identity = StringOf(claims, rules.identity_claim);
  if (identity.empty() || identity.size() > kMaxIdentityBytes) {
    return Invalid("the token does not say who it is of, or in too many words");
  }
  for (const char c : identity) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f' || c == '*')
      return Invalid("the token's name has characters that no name has");
  }
  return JwtClaims{identity, end, nullptr};
}

}  // namespace

absl::StatusOr<JwtClaims> CheckJwt(std::string_view token, const JwtKeys& keys,
                                   const JwtRules& rules, absl::Time now, bool* unknown_key) {
  *unknown_key = false;
  if (token.size() > kMaxJwtBytes) return Invalid("the token is too long");
  const size_t first = token.find('.');
  const size_t second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos)
    return Invalid("the token is neither a JWT nor an API token");
  const auto header = DecodeObject(token.substr(0, first));
  if (!header) return Invalid("the token's header cannot be read");
  const auto algorithm = AlgorithmNamed(StringOf(*header, "alg"));
  if (!algorithm) return Invalid("the token is signed with an algorithm that is not accepted");
  // RFC 7515, 4.1.11: what must be understood and is not.
  if (header->contains("crit")) return Invalid("the token has critical extensions");
  const JwtKey* const key = keys.Find(StringOf(*header, "kid"), *algorithm);
  if (key == nullptr) {
    *unknown_key = true;
    return Invalid("the token is signed with a key that is not known");
  }
  std::string signature;
  const std::string_view encoded = token.substr(second + 1);
  if (encoded.find('=') != encoded.npos ||
      !absl::WebSafeBase64Unescape(ToAbsl(encoded), &signature) ||
      !Verifies(*key, token.substr(0, second), std::move(signature))) {
    return Invalid("the token's signature is wrong");
  }
  const auto object = DecodeObject(token.substr(first + 1, second - first - 1));
  if (!object) return Invalid("the token's claims cannot be read");
  auto claims = CheckClaims(*object, rules, now);
  if (claims.ok()) claims->key = key->key;
  return claims;
}

}  // namespace sluice::server
