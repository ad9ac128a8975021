// What the service manager hears from the server under systemd's Type=notify: ready, reloading,
// stopping, alive. Each is one datagram to the socket that NOTIFY_SOCKET names (sd_notify(3)), so
// it needs no library (docs/adr/0021).
//
//   const ServiceManager manager = ServiceManager::FromEnvironment();
//   manager.Ready("gRPC on 127.0.0.1:8085");
//   manager.Reloading();  ...  manager.Ready("...");    // around a reload
//   manager.Stopping();
//
// Started by anything else there is no NOTIFY_SOCKET, and all of this does nothing. What cannot be
// sent is logged and forgotten: a manager that does not listen is no reason to end.
//
// Thread rule: constant after construction; any thread may tell.
#pragma once

#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace sluice::server {

class ServiceManager {
 public:
  // NOTIFY_SOCKET; WATCHDOG_USEC where WATCHDOG_PID is absent or this process.
  static ServiceManager FromEnvironment();
  // `socket` is a path, or "@name" for an abstract socket; empty for nobody. `watchdog` is how
  // often it wants to hear Alive(), at the least; zero for not at all.
  explicit ServiceManager(std::string socket, absl::Duration watchdog = absl::ZeroDuration())
      : socket_(std::move(socket)), watchdog_(watchdog) {}

  // Started, or reloaded. The status is what `systemctl status` shows.
  void Ready(std::string_view status) const;
  // A reload begins; it ends with Ready.
  void Reloading() const;
  void Stopping() const;
  // What went wrong before it was ready.
  void Failed(std::string_view status) const;
  void Alive() const;

  absl::Duration watchdog() const { return watchdog_; }

 private:
  void Send(std::string_view message) const;

  const std::string socket_;
  const absl::Duration watchdog_;
};

}  // namespace sluice::server
