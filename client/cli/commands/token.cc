// sluice admin token: makes an API token, and the line for the server's file of tokens.
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <fstream>

#include "absl/strings/escaping.h"
#include "client/cli/commands/commands.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

struct TokenFlags {
  std::string name;
  std::string expires = "8760h";
  std::string file;
};

// "sluice_" and 43 characters of base64url; the server knows it by its SHA-256
// (server/security/auth/api_tokens.h).
std::string NewToken() {
  std::string bytes(32, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size())) !=
      1)
    return "";
  std::string text = absl::WebSafeBase64Escape(bytes);
  text.resize(text.find_last_not_of('=') + 1);
  return "sluice_" + text;
}

std::string Sha256(const std::string& text) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return absl::BytesToHexString(hash);
}

// Adds a line to the file, which it begins if there is none.
absl::Status AddTo(const std::string& path, const std::string& line) {
  std::ifstream before(path);
  const bool begins = !before || before.peek() == std::ifstream::traits_type::eof();
  std::ofstream out(path, std::ios::app);
  if (begins) out << "tokens:\n";
  out << line << "\n";
  return out.flush() ? absl::OkStatus()
                     : absl::ErrnoToStatus(errno, fmt::format("cannot write {}", path));
}

int MakeToken(const Session& session, const TokenFlags& flags) {
  if (flags.name.find_first_of("\"\\\n*") != std::string::npos) {
    return Report(session, absl::InvalidArgumentError(
                               "name: must have no quotes, backslashes, line ends or *"));
  }
  const absl::Duration lifetime = ParseDurationOrThrow("--expires", flags.expires);
  const std::string expires =
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", absl::Now() + lifetime, absl::UTCTimeZone());
  const std::string token = NewToken();
  if (token.empty()) return Report(session, absl::InternalError("no randomness can be had"));
  const std::string line = fmt::format("  - {{name: \"{}\", hash: \"sha256:{}\", expires: \"{}\"}}",
                                       flags.name, Sha256(token), expires);
  if (!flags.file.empty()) {
    if (absl::Status status = AddTo(flags.file, line); !status.ok()) return Report(session, status);
  }
  if (session.json) {
    fmt::print("{}\n",
               nlohmann::ordered_json{
                   {"name", flags.name}, {"token", token}, {"expires", expires}, {"line", line}}
                   .dump());
    return kOk;
  }
  fmt::print("{}\n", token);
  fmt::print(stderr, "token:{}, until {}; this is the only time that it is shown\n", flags.name,
             expires);
  if (flags.file.empty())
    fmt::print(stderr, "for the server's file of tokens (auth.tokens), below \"tokens:\":\n{}\n",
               line);
  return kOk;
}

}  // namespace

void AddTokenCommand(CLI::App& admin, Run* run) {
  CLI::App* token = admin.add_subcommand(
      "token", "Make an API token, which is printed once; the server's file has its hash");
  auto flags = std::make_shared<TokenFlags>();
  token->add_option("name", flags->name, "Whose it is; policies call it token:NAME")->required();
  token->add_option("--expires", flags->expires, "How long it is good, such as 720h")
      ->capture_default_str();
  token->add_option("--file", flags->file, "Add it to this file of tokens");
  token->footer(
      "Example:\n  sluice admin token ci --expires=720h --file=/etc/sluice/tokens.yaml >ci.token");
  token->callback(
      [=] { *run = [=](const Session& session) { return MakeToken(session, *flags); }; });
}

}  // namespace sluice::cli
