#include "server/reloader.h"

#include <sys/stat.h>

#include <utility>

#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/base/thread_name.h"
#include "server/log.h"

namespace sluice::server {
namespace {

constexpr absl::Duration kLook = absl::Seconds(1);

}  // namespace

Reloader::~Reloader() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

Reloader::Stamp Reloader::StampOf(const std::string& path) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return {};
  constexpr int64_t kNanos = 1'000'000'000;
  return {found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec * kNanos + found.st_mtim.tv_nsec};
}

std::vector<Reloader::Stamp> Reloader::StampsOf(const Part& part) {
  std::vector<Stamp> stamps;
  for (const std::string& file : part.files) stamps.push_back(StampOf(file));
  return stamps;
}

void Reloader::Add(Part part) {
  std::erase_if(part.files, [](const std::string& file) { return file.empty() || file.find("://") != file.npos; });
  if (part.files.empty()) return;
  Watched watched{std::move(part), {}};
  watched.stamps = StampsOf(watched.part);
  parts_.push_back(std::move(watched));
}

void Reloader::Start(std::function<void()> every_second) {
  every_second_ = std::move(every_second);
  thread_ = std::thread([this] { Run(); });
}

void Reloader::Now() {
  MutexLock lock(mu_);
  all_ = true;
  changed_.NotifyAll();
}

void Reloader::Run() {
  NameThisThread("reloader");
  for (;;) {
    bool all = false;
    {
      MutexLock lock(mu_);
      if (!all_ && !stopping_) changed_.WaitFor(lock, kLook);
      if (stopping_) return;
      all = std::exchange(all_, false);
    }
    for (Watched& watched : parts_) {
      // Taken before it is read: what changes meanwhile is read once more.
      std::vector<Stamp> stamps = StampsOf(watched.part);
      if (!all && stamps == watched.stamps) continue;
      watched.stamps = std::move(stamps);
      Reload(watched);
    }
    every_second_();
  }
}

void Reloader::Reload(Watched& watched) {
  const absl::Status status = watched.part.reload();
  const std::string& what = watched.part.what;
  if (watched.part.metrics != nullptr) watched.part.metrics->Count(status.ok());
  const std::string error(status.message());
  if (status.ok()) {
    Log("read again", {{"what", what}});
  } else {
    LogWarning("cannot be read again; what there is stays", {{"what", what}, {"error", error}});
  }
  (void)audit_.Write({.event = "reload", .decision = status.ok() ? "ok" : "failed", .resource = what, .reason = error});
}

}  // namespace sluice::server
