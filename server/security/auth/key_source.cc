#include "server/security/auth/key_source.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/thread_name.h"
#include "fmt/format.h"
#include "server/base/yaml_file.h"
#include "server/log/log.h"
#include "server/security/auth/fetch.h"

namespace sluice::server {
namespace {

constexpr absl::Duration kRefresh = absl::Minutes(5);
constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLongestRetry = absl::Minutes(1);
// Between two fetches because of keys that are not known: whoever makes them up must not make us
// ask all the time.
constexpr absl::Duration kAskAgain = absl::Seconds(10);

bool IsUrl(const std::string& location) { return location.find("://") != location.npos; }

absl::Status CheckUrl(const std::string& url) {
  if (MayBeFetched(url)) return absl::OkStatus();
  return Error(Reason::kInvalidConfig,
               fmt::format("auth.jwt_keys: {}: must be a file, or a URL with https", url),
               {{"field", "auth.jwt_keys"}, {"value", url}});
}

absl::Status OfFile(const std::string& path, const absl::Status& status) {
  return status.ok() ? status
                     : Error(Reason::kInvalidConfig,
                             fmt::format("{}: {}", path, std::string(status.message())));
}

}  // namespace

absl::Status KeySource::Check(const std::string& location) {
  if (IsUrl(location)) return CheckUrl(location);
  auto text = ReadTextFile(location);
  return text.ok() ? OfFile(location, JwtKeys::Parse(*text).status()) : text.status();
}

absl::StatusOr<std::unique_ptr<KeySource>> KeySource::Start(const std::string& location,
                                                            const Clock& clock,
                                                            SecurityMetrics& metrics,
                                                            std::function<void()> changed) {
  const bool url = IsUrl(location);
  auto source =
      std::unique_ptr<KeySource>(new KeySource(location, url, clock, metrics, std::move(changed)));
  if (absl::Status status = url ? CheckUrl(location) : source->ReadFile(); !status.ok())
    return status;
  if (url) source->thread_ = std::thread([raw = source.get()] { raw->Run(); });
  return source;
}

KeySource::~KeySource() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const JwtKeys> KeySource::keys() const {
  MutexLock lock(mu_);
  return keys_;
}

bool KeySource::AskForNewerThan(const JwtKeys& known) {
  MutexLock lock(mu_);
  if (keys_.get() != &known) return true;
  if (!url_) return false;
  if (wanted_) return true;
  if (clock_.Now() - fetched_ < kAskAgain) return false;
  wanted_ = true;
  changed_.NotifyAll();
  return true;
}

absl::Status KeySource::ReadFile() {
  auto text = ReadTextFile(location_);
  if (!text.ok()) return text.status();
  return OfFile(location_, Take(*std::move(text)));
}

absl::Status KeySource::Take(std::string text) {
  auto keys = JwtKeys::Parse(text);
  if (!keys.ok()) return keys.status();
  {
    // With the keys in one step: who finds them must not find that they are still on their way.
    MutexLock lock(mu_);
    FetchEnded();
    if (text == text_) return absl::OkStatus();
    text_ = std::move(text);
    keys_ = *std::move(keys);
  }
  keys_changed_();
  return absl::OkStatus();
}

absl::Status KeySource::Reload() { return url_ ? absl::OkStatus() : ReadFile(); }

void KeySource::Refresh() {
  auto text = Fetch(location_, {});
  const absl::Status status = text.ok() ? Take(*std::move(text)) : text.status();
  metrics_.keys.Count(status.ok());
  if (!status.ok()) {
    LogWarning(LogPart::kAuth, "the keys of tokens cannot be had; those that there are stay",
               {{"from", location_}, {"error", std::string(status.message())}});
    MutexLock lock(mu_);
    FetchEnded();
  }
}

void KeySource::FetchEnded() {
  wanted_ = false;
  fetched_ = clock_.Now();
}

void KeySource::Run() {
  NameThisThread("jwt-keys");
  absl::Duration retry = kFirstRetry;
  for (;;) {
    Refresh();
    MutexLock lock(mu_);
    const absl::Duration wait =
        keys_ != nullptr ? kRefresh : std::exchange(retry, std::min(retry * 2, kLongestRetry));
    const Instant until = clock_.Now() + wait;
    while (!stopping_ && !wanted_ && clock_.Now() < until)
      changed_.WaitFor(lock, until - clock_.Now());
    if (stopping_) return;
    wanted_ = true;
  }
}

}  // namespace sluice::server
