#include "client/cpp/credentials.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/mutex.h"

namespace sluice::client {
namespace {

constexpr absl::Duration kTokenAge = absl::Seconds(1);

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// What TokenFromFile keeps.
class TokenFile {
 public:
  explicit TokenFile(std::string path) : path_(std::move(path)) {}

  std::string Get() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    const absl::Time now = absl::Now();
    if (now - read_ < kTokenAge) return token_;
    read_ = now;
    if (auto text = ReadFile(path_); text.ok())
      token_ = std::string(absl::StripAsciiWhitespace(*text));
    return token_;
  }

 private:
  const std::string path_;
  Mutex mu_;
  std::string token_ GUARDED_BY(mu_);
  absl::Time read_ GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsFromFiles(const TlsFiles& files) {
  grpc::SslCredentialsOptions options;
  const std::array<std::pair<const std::string&, std::string*>, 3> wanted = {
      {{files.ca, &options.pem_root_certs},
       {files.cert, &options.pem_cert_chain},
       {files.key, &options.pem_private_key}}};
  for (const auto& [path, text] : wanted) {
    if (path.empty()) continue;
    auto read = ReadFile(path);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  return grpc::SslCredentials(options);
}

std::function<std::string()> TokenFromFile(const std::string& path) {
  return [file = std::make_shared<TokenFile>(path)] { return file->Get(); };
}

}  // namespace sluice::client
