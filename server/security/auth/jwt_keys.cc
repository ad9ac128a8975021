// JwtKeys: from JSON to OpenSSL.
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "server/base/json_fields.h"
#include "server/security/auth/jwt.h"

namespace sluice::server {
namespace {

using Json = nlohmann::json;

constexpr int kMinRsaBits = 2048;
constexpr size_t kMaxKeys = 1000;
// x and y of a point on P-256; an Ed25519 key.
constexpr size_t kCoordinateBytes = 32;

std::string BytesOf(const Json& object, const char* key) {
  std::string bytes;
  return absl::WebSafeBase64Unescape(StringOf(object, key), &bytes) ? bytes : "";
}

using Params = std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)>;

std::shared_ptr<EVP_PKEY> FromParams(const char* kind, const Params& params) {
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr), &EVP_PKEY_CTX_free);
  EVP_PKEY* key = nullptr;
  if (params == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  return {key, &EVP_PKEY_free};
}

std::shared_ptr<EVP_PKEY> RsaKey(const Json& jwk) {
  const std::string n = BytesOf(jwk, "n");
  const std::string e = BytesOf(jwk, "e");
  const auto number = [](const std::string& bytes) {
    return std::unique_ptr<BIGNUM, decltype(&BN_free)>(
        BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()), nullptr),
        &BN_free);
  };
  const auto modulus = number(n);
  const auto exponent = number(e);
  if (BN_num_bits(modulus.get()) < kMinRsaBits || BN_is_zero(exponent.get())) return nullptr;
  const std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> build(OSSL_PARAM_BLD_new(),
                                                                              &OSSL_PARAM_BLD_free);
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return FromParams("RSA", Params(OSSL_PARAM_BLD_to_param(build.get()), &OSSL_PARAM_free));
}

std::shared_ptr<EVP_PKEY> P256Key(const Json& jwk) {
  const std::string x = BytesOf(jwk, "x");
  const std::string y = BytesOf(jwk, "y");
  if (StringOf(jwk, "crv") != "P-256" || x.size() != kCoordinateBytes ||
      y.size() != kCoordinateBytes)
    return nullptr;
  // The uncompressed form of a point (SEC 1, 2.3.3).
  const std::string point = "\x04" + x + y;
  const std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> build(OSSL_PARAM_BLD_new(),
                                                                              &OSSL_PARAM_BLD_free);
  OSSL_PARAM_BLD_push_utf8_string(build.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(build.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  return FromParams("EC", Params(OSSL_PARAM_BLD_to_param(build.get()), &OSSL_PARAM_free));
}

std::shared_ptr<EVP_PKEY> Ed25519Key(const Json& jwk) {
  const std::string x = BytesOf(jwk, "x");
  if (StringOf(jwk, "crv") != "Ed25519" || x.size() != kCoordinateBytes) return nullptr;
  return {EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                      reinterpret_cast<const unsigned char*>(x.data()), x.size()),
          &EVP_PKEY_free};
}

// Nothing for a key that is not for this.
std::optional<JwtKey> KeyOf(const Json& jwk) {
  if (!jwk.is_object()) return std::nullopt;
  const std::string kind = StringOf(jwk, "kty");
  JwtKey key{StringOf(jwk, "kid"), JwtAlgorithm::kRs256, nullptr};
  std::string_view algorithm;
  if (kind == "RSA") {
    algorithm = "RS256";
    key.key = RsaKey(jwk);
  } else if (kind == "EC") {
    algorithm = "ES256";
    key.algorithm = JwtAlgorithm::kEs256;
    key.key = P256Key(jwk);
  } else if (kind == "OKP") {
    algorithm = "EdDSA";
    key.algorithm = JwtAlgorithm::kEdDsa;
    key.key = Ed25519Key(jwk);
  }
  const std::string use = StringOf(jwk, "use");
  const std::string stated = StringOf(jwk, "alg");
  if (key.key == nullptr || (!use.empty() && use != "sig") ||
      (!stated.empty() && stated != algorithm))
    return std::nullopt;
  return key;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const JwtKeys>> JwtKeys::Parse(std::string_view json) {
  const Json set = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!set.is_object() || !set.contains("keys") || !set["keys"].is_array()) {
    return Error(Reason::kInvalidConfig,
                 "the keys are no JSON Web Key Set: an object with a list \"keys\"");
  }
  if (set["keys"].size() > kMaxKeys) {
    return Error(Reason::kInvalidConfig, fmt::format("the key set has {} keys, more than {}",
                                                     set["keys"].size(), kMaxKeys));
  }
  std::vector<JwtKey> keys;
  for (const Json& jwk : set["keys"]) {
    if (auto key = KeyOf(jwk)) keys.push_back(*std::move(key));
  }
  if (keys.empty()) {
    return Error(Reason::kInvalidConfig,
                 "the key set has no key for RS256 (2,048 bits or more), ES256 or EdDSA (Ed25519)");
  }
  return std::make_shared<const JwtKeys>(std::move(keys));
}

const JwtKey* JwtKeys::Find(std::string_view id, JwtAlgorithm algorithm) const {
  const JwtKey* found = nullptr;
  for (const JwtKey& key : keys_) {
    if (key.algorithm != algorithm || (!id.empty() && key.id != id)) continue;
    if (id.empty() && found != nullptr) return nullptr;
    found = &key;
    if (!id.empty()) break;
  }
  return found;
}

bool JwtKeys::Has(const EVP_PKEY* key) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const JwtKey& own) { return EVP_PKEY_eq(own.key.get(), key) == 1; });
}

}  // namespace sluice::server
