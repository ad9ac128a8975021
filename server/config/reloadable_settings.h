// Settings that may change while the server runs. The file of --config is read again on SIGHUP, and
// when it has changed (file_watch.h); what was given by flags and variables stays and beats it as
// before.
//
//   ReloadableSettings settings(inputs, std::move(loaded), metrics);
//   settings.Add({.name = "certificates",
//                 .files = [](const Options& now) { return std::vector{now.tls.cert, now.tls.key}; },
//                 .reload = [&](const Options& now) { return credentials.Load(now.tls); }});
//   settings.Start();
//   settings.RequestReload();                              // SIGHUP
//   settings.Stop();                                       // before what the listeners use
//
// With a mistake in it all settings stay as they are, and the log says what and where. Else those
// that may change do (`hot` in the table of settings), the log names them, and names those that
// differ but need a restart. Then every listener is called, whether a setting of its own has
// changed or not: the files that it reads may be others (certificates, tokens, a policy). A
// listener that finds something wrong keeps what it has and returns why; that is a failed reload
// too, but holds up no other.
//
// Thread rule: Add before Start, from the thread that makes it; RequestReload from any thread. Look
// and Reload are what the thread of Start does, once a second and when it is asked, which is also
// where listeners are called: one at a time, with no lock held. Without Start (in tests) they may
// be called by hand.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "server/config/config_metrics.h"
#include "server/config/load_settings.h"

namespace sluice::server {

class ReloadableSettings {
 public:
  struct Listener {
    // For the log.
    std::string name;
    // Files that it reads besides the settings; a change of one is a reason to reload. May be null,
    // and paths may be empty.
    std::function<std::vector<std::string>(const Options&)> files = nullptr;
    std::function<absl::Status(const Options&)> reload;
  };

  ReloadableSettings(Inputs inputs, LoadedSettings loaded, ConfigMetrics& metrics);
  ~ReloadableSettings() { Stop(); }

  void Add(Listener listener);
  void Start();
  // Waits for a reload that is under way.
  void Stop() EXCLUDES(mu_);
  void RequestReload() EXCLUDES(mu_);

  // Whether all went well.
  bool Reload(std::string_view because);
  // Reloads when a file has changed.
  void Look();

 private:
  void KeepHouse() EXCLUDES(mu_);
  std::vector<std::string> Files() const;
  void TakeOver(Settings& now, std::string_view because) const;
  bool TellListeners();

  const Inputs inputs_;
  ConfigMetrics& metrics_;
  std::vector<Listener> listeners_;

  // Of the thread.
  LoadedSettings current_;
  FileWatch watch_;

  Mutex mu_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mu_) = false;
  bool requested_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace sluice::server
