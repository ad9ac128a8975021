// sluiced: starts the server, waits for SIGTERM or SIGINT, drains, ends. A second signal ends the
// process at once. SIGHUP reads settings, certificates, policy, tokens and keys again. systemd
// hears of each (sd_notify.h).
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/version.h"
#include "fmt/format.h"
#include "server/config/flags.h"
#include "server/config/reloadable_settings.h"
#include "server/log/log.h"
#include "server/process/check_options.h"
#include "server/process/sd_notify.h"
#include "server/process/server.h"
#include "server/process/startup_file.h"
#include "server/process/watchdog.h"

namespace sluice::server {
namespace {

constexpr int kKilledBySignal = 128;
// Beyond the time to shut down, for a disk that only just keeps up.
constexpr absl::Duration kDiskGrace = absl::Seconds(1);

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

// A signal to end; `on_hangup` is called at each SIGHUP meanwhile.
template <class OnHangup>
int WaitForEnd(const sigset_t& signals, const OnHangup& on_hangup) {
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) return signal;
    on_hangup();
  }
}

void Listen(ReloadableSettings& settings, Server& server) {
  settings.Add({.name = "log", .reload = [](const Options& now) {
                  SetLogLevels(now.log_levels);
                  return absl::OkStatus();
                }});
  settings.Add({.name = "publish_limit", .reload = [&server](const Options& now) {
                  server.SetPublishLimits(now.publish);
                  return absl::OkStatus();
                }});
}

// A disk that hangs may hold up anything. What was acknowledged is stored already.
void EndIn(absl::Duration time) {
  std::thread([time] {
    absl::SleepFor(time);
    LogError("ended with work undone",
             {{"error", "the time to shut down is over; the disk hangs"}});
    LogHeldBack();
    ::_exit(1);
  }).detach();
}

// Drains; a second signal ends the process meanwhile.
int End(Server& server, const sigset_t& signals) {
  std::thread([signals] {
    const int second = WaitForEnd(signals, [] {});
    LogWarning("a second signal: ending at once", {{"signal", std::to_string(second)}});
    LogHeldBack();
    ::_exit(kKilledBySignal + second);
  }).detach();
  const absl::Status drained = server.Drain();
  LogHeldBack();
  if (!drained.ok()) {
    LogError("ended with work undone", {{"error", std::string(drained.message())}});
    return 1;
  }
  Log("stopped");
  return 0;
}

// --check-config, where the settings by themselves are right.
int Check(const Options& options) {
  const std::vector<absl::Status> mistakes = CheckOptions(options);
  for (const absl::Status& mistake : mistakes)
    fmt::print(stderr, "{}\n", std::string(mistake.message()));
  return mistakes.empty() ? 0 : kUsageError;
}

int Run(ParsedFlags flags) {
  const Options options = flags.loaded.settings->options();
  const sigset_t signals = BlockSignals();
  SetUpLog(options.log_format);
  SetLogLevels(options.log_levels);
  const ServiceManager manager = ServiceManager::FromEnvironment();
  auto server = Server::Start(options);
  if (!server.ok()) {
    LogError("cannot start", {{"error", std::string(server.status().message())}});
    manager.Failed(fmt::format("cannot start: {}", std::string(server.status().message())));
    return 1;
  }
  ReloadableSettings settings(std::move(flags.inputs), std::move(flags.loaded),
                              (*server)->config_metrics());
  Listen(settings, **server);
  settings.Start();
  Log("ready", {{"grpc", (*server)->grpc_address()},
                {"http", (*server)->http_address()},
                {"store", options.store == StoreKind::kLocal ? "local" : "memory"},
                {"durability", std::string((*server)->engine().durability())},
                {"version", kVersion}});
  const std::string status =
      fmt::format("gRPC on {}, HTTP on {}", (*server)->grpc_address(), (*server)->http_address());
  manager.Ready(status);
  auto watchdog = std::make_unique<Watchdog>(
      manager, [&](absl::Duration timeout) { return (*server)->Alive(timeout); });
  const int signal = WaitForEnd(signals, [&] {
    manager.Reloading();
    settings.RequestReload();
    (*server)->Reload();
    manager.Ready(status);
  });
  watchdog = nullptr;
  manager.Stopping();
  // Draining keeps the time by itself as long as the disk answers.
  EndIn(options.shutdown_timeout + kDiskGrace);
  Log("draining", {{"signal", std::to_string(signal)},
                   {"timeout", absl::FormatDuration(options.shutdown_timeout)}});
  settings.Stop();
  return End(**server, signals);
}

}  // namespace
}  // namespace sluice::server

int main(int argc, char** argv) {
  // gRPC's mutexes are Abseil's, which look for deadlocks wherever Abseil was built without NDEBUG,
  // as Debian's is: 7 % of the CPU of a unary call. Ours have a check of their own.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  auto flags = sluice::server::ParseFlags(argc, argv, environ, sluice::server::CountStartup);
  if (flags.exit_code) return *flags.exit_code;
  if (flags.check) return sluice::server::Check(flags.loaded.settings->options());
  return sluice::server::Run(std::move(flags));
}
