#include "server/security/auth/api_tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "server/base/yaml_file.h"

namespace sluice::server {
namespace {

constexpr Reason kReason = Reason::kInvalidConfig;
constexpr std::string_view kHashKind = "sha256:";
constexpr size_t kMaxNameBytes = 256;

absl::StatusOr<ApiTokens::Token> ReadToken(const std::string& path, const YAML::Node& node,
                                           const std::string& what) {
  if (absl::Status status = CheckKeys(path, node, what, {"name", "hash", "expires"}, kReason);
      !status.ok())
    return status;
  const auto wrong = [&](std::string_view field, std::string_view why) {
    return ErrorAt(path, node, fmt::format("{}.{}: {}", what, field, why), kReason);
  };
  ApiTokens::Token token;
  if (!node.IsMap() || !node["name"] || !node["name"].IsScalar() || node["name"].Scalar().empty()) {
    return wrong("name", "is missing");
  }
  token.name = node["name"].Scalar();
  if (token.name.size() > kMaxNameBytes)
    return wrong("name", fmt::format("more than {} bytes", kMaxNameBytes));
  const std::string hash = node["hash"] && node["hash"].IsScalar() ? node["hash"].Scalar() : "";
  constexpr size_t kHexDigits = size_t{2} * SHA256_DIGEST_LENGTH;
  const bool hex = hash.size() == kHashKind.size() + kHexDigits &&
                   hash.compare(0, kHashKind.size(), kHashKind) == 0 &&
                   hash.find_first_not_of("0123456789abcdef", kHashKind.size()) == hash.npos;
  if (!hex)
    return wrong(
        "hash",
        "must be sha256: and 64 digits of lower-case hex, as `sluice admin token` prints it");
  token.hash = absl::HexStringToBytes(hash.substr(kHashKind.size()));
  if (const YAML::Node expires = node["expires"]; expires && !expires.IsNull()) {
    std::string error;
    if (!expires.IsScalar() ||
        !absl::ParseTime(absl::RFC3339_full, expires.Scalar(), &token.expires, &error)) {
      return wrong("expires", "must be a time such as 2027-01-01T00:00:00Z");
    }
  }
  return token;
}

}  // namespace

std::string ApiTokens::HashOf(std::string_view presented) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(presented.data()), presented.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

const ApiTokens::Token* ApiTokens::FindHash(std::string_view hash) const {
  const Token* found = nullptr;
  for (const Token& token : tokens_) {
    if (token.hash.size() == hash.size() &&
        CRYPTO_memcmp(token.hash.data(), hash.data(), hash.size()) == 0)
      found = &token;
  }
  return found;
}

absl::StatusOr<std::shared_ptr<const ApiTokens>> ApiTokens::Parse(const std::string& text,
                                                                  const std::string& path) {
  auto tokens = std::make_shared<ApiTokens>();
  try {
    const YAML::Node root = YAML::Load(text);
    if (absl::Status status = CheckKeys(path, root, "tokens file", {"tokens"}, kReason);
        !status.ok())
      return status;
    const YAML::Node list = root.IsMap() ? root["tokens"] : YAML::Node();
    if (!list.IsNull() && !list.IsSequence())
      return ErrorAt(path, list, "tokens: must be a list", kReason);
    for (const YAML::Node& node : list) {
      const std::string what = fmt::format("tokens[{}]", tokens->tokens_.size());
      auto token = ReadToken(path, node, what);
      if (!token.ok()) return token.status();
      const bool twice = std::any_of(tokens->tokens_.begin(), tokens->tokens_.end(),
                                     [&](const Token& other) { return other.hash == token->hash; });
      if (twice) return ErrorAt(path, node, what + ".hash: is there twice", kReason);
      tokens->tokens_.push_back(*std::move(token));
    }
  } catch (const YAML::Exception& error) {
    const std::string place =
        error.mark.is_null() ? path : fmt::format("{}:{}", path, error.mark.line + 1);
    return Error(kReason, fmt::format("{}: {}", place, error.msg), {{"field", place}});
  }
  return std::shared_ptr<const ApiTokens>(std::move(tokens));
}

absl::StatusOr<std::shared_ptr<const ApiTokens>> ApiTokens::Read(const std::string& path) {
  auto text = ReadTextFile(path);
  if (!text.ok()) return text.status();
  return Parse(*text, path);
}

}  // namespace sluice::server
