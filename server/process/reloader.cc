#include "server/process/reloader.h"

#include <utility>

#include "absl/time/time.h"
#include "core/base/thread_name.h"
#include "server/log/log.h"

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

void Reloader::Add(Part part) {
  std::erase_if(part.files, [](const std::string& file) {
    return file.empty() || file.find("://") != file.npos;
  });
  if (part.files.empty()) return;
  Watched watched{std::move(part), {}};
  // As they are when they are read first.
  watched.watch.Changed(watched.part.files);
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
      const bool changed = watched.watch.Changed(watched.part.files);
      if (all || changed) Reload(watched.part);
    }
    every_second_();
  }
}

void Reloader::Reload(const Part& part) {
  const absl::Status status = part.reload();
  const std::string error(status.message());
  if (status.ok()) {
    Log(part.log, "read again", {{"what", part.what}});
  } else {
    LogWarning(part.log, "cannot be read again; what there is stays",
               {{"what", part.what}, {"error", error}});
  }
  (void)audit_.Write({.event = "reload",
                      .decision = status.ok() ? "ok" : "failed",
                      .resource = part.what,
                      .reason = error});
  // At the end, so that who sees it counted finds it told as well.
  part.metrics->Count(status.ok());
}

}  // namespace sluice::server
