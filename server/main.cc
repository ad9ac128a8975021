// sluiced: starts the server, waits for SIGTERM or SIGINT, drains, ends. A second signal ends the process at once. SIGHUP is for
// a reload. systemd hears of each (sd_notify.h).
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "core/base/version.h"
#include "fmt/format.h"
#include "server/config/flags.h"
#include "server/log.h"
#include "server/sd_notify.h"
#include "server/server.h"
#include "server/watchdog.h"

namespace sluice::server {
namespace {

constexpr int kKilledBySignal = 128;

// Blocked in every thread, and taken by sigwait: nothing is ever done in a handler.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A client that goes away is an error of a write, not the end.
  ::signal(SIGPIPE, SIG_IGN);
  return signals;
}

int WaitForSignal(const sigset_t& signals) {
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

// What can be changed without a restart is read again.
void Reload() { Log("reloaded", {{"changed", "nothing"}}); }

// Until one that is to end it; SIGHUP is dealt with here.
int WaitForEnd(const sigset_t& signals, const ServiceManager& manager, const std::string& status) {
  for (;;) {
    const int signal = WaitForSignal(signals);
    if (signal != SIGHUP) return signal;
    manager.Reloading();
    Reload();
    manager.Ready(status);
  }
}

int Run(const Options& options) {
  const sigset_t signals = BlockSignals();
  const ServiceManager manager = ServiceManager::FromEnvironment();
  SetUpLog(options.log_format);
  auto server = Server::Start(options);
  if (!server.ok()) {
    LogError("cannot start", {{"error", std::string(server.status().message())}});
    manager.Failed(fmt::format("cannot start: {}", std::string(server.status().message())));
    return 1;
  }
  Log("ready", {{"grpc", (*server)->grpc_address()},
                {"http", (*server)->http_address()},
                {"store", options.store == StoreKind::kLocal ? "local" : "memory"},
                {"durability", std::string((*server)->engine().durability())},
                {"version", kVersion}});
  const std::string status = fmt::format("gRPC on {}, HTTP on {}", (*server)->grpc_address(), (*server)->http_address());
  manager.Ready(status);
  auto watchdog = std::make_unique<Watchdog>(manager, [&](absl::Duration timeout) { return (*server)->Alive(timeout); });
  const int signal = WaitForEnd(signals, manager, status);
  watchdog = nullptr;
  manager.Stopping();
  Log("draining", {{"signal", std::to_string(signal)}, {"timeout", absl::FormatDuration(options.shutdown_timeout)}});
  std::thread([signals] {
    int second = SIGHUP;
    while (second == SIGHUP) second = WaitForSignal(signals);
    LogWarning("a second signal: ending at once", {{"signal", std::to_string(second)}});
    ::_exit(kKilledBySignal + second);
  }).detach();
  const absl::Status drained = (*server)->Drain();
  if (!drained.ok()) {
    LogError("ended with work undone", {{"error", std::string(drained.message())}});
    return 1;
  }
  Log("stopped");
  return 0;
}

}  // namespace
}  // namespace sluice::server

int main(int argc, char** argv) {
  // gRPC's mutexes are Abseil's, which look for deadlocks wherever Abseil was built without NDEBUG, as Debian's is: 7 % of the
  // CPU of a unary call. Ours have a check of their own.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const auto flags = sluice::server::ParseFlags(argc, argv);
  if (flags.exit_code) return *flags.exit_code;
  return sluice::server::Run(flags.options);
}
