#include "server/config/reloadable_settings.h"

#include <utility>

#include "absl/time/clock.h"
#include "core/base/thread_name.h"
#include "fmt/format.h"
#include "server/log/log.h"

namespace sluice::server {
namespace {

constexpr absl::Duration kBetweenLooks = absl::Seconds(1);

std::string Listed(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

ReloadableSettings::ReloadableSettings(Inputs inputs, LoadedSettings loaded, ConfigMetrics& metrics)
    : inputs_(std::move(inputs)), metrics_(metrics), current_(std::move(loaded)) {
  // It may have changed since it was read.
  if (!inputs_.file.empty()) watch_.Settle(inputs_.file, current_.file_id);
}

void ReloadableSettings::Add(Listener listener) {
  listeners_.push_back(std::move(listener));
  // From now on: the listener's owner has read them just now.
  watch_.Changed(Files());
}

std::vector<std::string> ReloadableSettings::Files() const {
  std::vector<std::string> files;
  const auto add = [&files](const std::string& path) {
    if (!path.empty()) files.push_back(path);
  };
  add(inputs_.file);
  for (const Listener& listener : listeners_) {
    if (listener.files == nullptr) continue;
    for (const std::string& path : listener.files(current_.settings->options())) add(path);
  }
  return files;
}

void ReloadableSettings::Look() {
  if (watch_.Changed(Files())) Reload("a file has changed");
}

bool ReloadableSettings::Reload(std::string_view because) {
  // As they are before they are read: what changes meanwhile is seen by the next look.
  for (const std::string& path : Files()) watch_.Settle(path, FileId::Of(path));
  const LoadedSettings now = LoadSettings(inputs_);
  bool well = now.mistakes.empty();
  if (well) {
    TakeOver(*now.settings, because);
    well = TellListeners();
  }
  for (const Mistake& mistake : now.mistakes) {
    LogWarning(LogPart::kConfig, "settings not reloaded, they stay as they are",
               {{"because", std::string(because)}, {"error", mistake.ToText()}});
  }
  (well ? metrics_.reloads_ok : metrics_.reloads_failed).Add();
  if (well) metrics_.last_success_ms.Set(absl::ToUnixMillis(absl::Now()));
  return well;
}

// Takes those over that may change.
void ReloadableSettings::TakeOver(Settings& now, std::string_view because) const {
  std::vector<std::string> changed;
  std::vector<std::string> left;
  for (Setting& setting : current_.settings->all()) {
    const Setting& other = *now.Find(setting.path);
    const std::vector<std::string> texts = other.value.texts();
    if (texts == setting.value.texts()) continue;
    // A file that was there a moment ago may be gone.
    const bool taken = setting.traits.hot && setting.Set(texts, other.from).empty();
    (taken ? changed : left).push_back(setting.path);
  }
  Log(LogPart::kConfig, "settings reloaded",
      {{"because", std::string(because)}, {"changed", changed.empty() ? "none" : Listed(changed)}});
  if (left.empty()) return;
  LogWarning(LogPart::kConfig, "settings that have changed and need a restart",
             {{"settings", Listed(left)}});
}

bool ReloadableSettings::TellListeners() {
  bool well = true;
  for (const Listener& listener : listeners_) {
    const absl::Status status = listener.reload(current_.settings->options());
    if (status.ok()) continue;
    well = false;
    LogWarning(LogPart::kConfig, "not reloaded, it stays as it is",
               {{"what", listener.name}, {"error", std::string(status.message())}});
  }
  return well;
}

void ReloadableSettings::Start() {
  thread_ = std::thread([this] {
    NameThisThread("housekeeping");
    KeepHouse();
  });
}

void ReloadableSettings::KeepHouse() {
  for (;;) {
    bool requested = false;
    {
      MutexLock lock(mu_);
      if (!stopping_ && !requested_) wake_.WaitFor(lock, kBetweenLooks);
      if (stopping_) return;
      requested = std::exchange(requested_, false);
    }
    if (requested) {
      Reload("SIGHUP");
    } else {
      Look();
    }
    LogHeldBackDue();
  }
}

void ReloadableSettings::RequestReload() {
  MutexLock lock(mu_);
  requested_ = true;
  wake_.NotifyAll();
}

void ReloadableSettings::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace sluice::server
