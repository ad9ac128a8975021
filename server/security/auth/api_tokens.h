// API tokens: long random strings that stand for a name. The file has their hashes only:
//
//   tokens:
//     - {name: ci, hash: "sha256:9f86d0...", expires: 2027-01-01T00:00:00Z}
//
// A token is "sluice_" and 43 characters of base64url: 256 bits of chance, so that a plain SHA-256
// keeps it as safe as a slow hash would keep a password, and costs a call next to nothing.
//
// Thread rule: a value that is not changed once it is read.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sluice::server {

inline constexpr std::string_view kTokenPrefix = "sluice_";

class ApiTokens {
 public:
  struct Token {
    std::string name;
    // 32 bytes.
    std::string hash;
    absl::Time expires = absl::InfiniteFuture();
  };

  // INVALID_ARGUMENT (INVALID_CONFIG) says the file, the line and what is wrong there.
  static absl::StatusOr<std::shared_ptr<const ApiTokens>> Read(const std::string& path);
  static absl::StatusOr<std::shared_ptr<const ApiTokens>> Parse(const std::string& text,
                                                                const std::string& path);

  // The token of a presented string, or of its hash; null for none. Every hash is compared, in a
  // time that says nothing.
  const Token* Find(std::string_view presented) const { return FindHash(HashOf(presented)); }
  const Token* FindHash(std::string_view hash) const;

  // SHA-256.
  static std::string HashOf(std::string_view presented);

  size_t size() const { return tokens_.size(); }

 private:
  std::vector<Token> tokens_;
};

}  // namespace sluice::server
