#include "server/process/watchdog.h"

#include <utility>

#include "core/base/thread_name.h"
#include "server/log/log.h"

namespace sluice::server {

// Three beats in a span: one that is late, or one that is lost, costs nothing.
Watchdog::Watchdog(const ServiceManager& manager, IsAlive alive)
    : manager_(manager), alive_(std::move(alive)), interval_(manager.watchdog() / 3) {
  if (interval_ > absl::ZeroDuration()) {
    thread_ = std::thread([this] {
      NameThisThread("watchdog");
      Run();
    });
  }
}

Watchdog::~Watchdog() {
  {
    MutexLock lock(mu_);
    end_ = true;
  }
  ended_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Run() {
  bool was_alive = true;
  bool is_alive = true;
  do {
    is_alive = alive_(interval_ / 2);
    if (is_alive) manager_.Alive();
    if (was_alive && !is_alive) {
      LogError(
          "the server does not answer itself; the service manager is no longer told that it is "
          "alive",
          {{"waited", absl::FormatDuration(interval_ / 2)},
           {"watchdog", absl::FormatDuration(manager_.watchdog())}});
    }
    was_alive = is_alive;
    // A second chance comes within the span, and a third.
  } while (Pause(is_alive ? interval_ : interval_ / 2));
}

bool Watchdog::Pause(absl::Duration time) {
  MutexLock lock(mu_);
  // To wake early for no reason does no harm.
  if (!end_) ended_.WaitFor(lock, time);
  return !end_;
}

}  // namespace sluice::server
