// Tells the service manager that the server is alive, three times in the span in which it wants to
// hear it, as long as `alive` says so: a server that no longer answers is then restarted. `alive`
// is given the time that it may take.
//
//   Watchdog watchdog(manager, [&server](absl::Duration timeout) { return server.Alive(timeout);
//   });
//
// Thread rule: made and destroyed by one thread; `alive` is called on a thread of the watchdog's
// own, and not after the destructor, which waits for a call under way.
#pragma once

#include <functional>
#include <thread>

#include "core/base/mutex.h"
#include "server/process/sd_notify.h"

namespace sluice::server {

class Watchdog {
 public:
  using IsAlive = std::function<bool(absl::Duration timeout)>;

  // Does nothing where the manager wants to hear nothing. `manager` outlives it.
  Watchdog(const ServiceManager& manager, IsAlive alive);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Run() EXCLUDES(mu_);
  // False when it is over.
  bool Pause(absl::Duration time) EXCLUDES(mu_);

  const ServiceManager& manager_;
  const IsAlive alive_;
  const absl::Duration interval_;

  Mutex mu_;
  CondVar ended_;
  bool end_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace sluice::server
