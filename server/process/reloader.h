// Reads files again while the server runs: when they change, looked at once a second, and all of
// them when asked. What cannot be read leaves what there is; each time is a line in the log and in
// the audit log, and is counted.
//
// Thread rule: Add before Start, Start and the destructor from one thread; Now from any. One thread
// of its own does it all.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "server/base/file_watch.h"
#include "server/log/log.h"
#include "server/security/audit/audit_log.h"
#include "server/security/auth/security_metrics.h"

namespace sluice::server {

class Reloader {
 public:
  struct Part {
    std::string what;
    // Those that are empty are left out.
    std::vector<std::string> files;
    std::function<absl::Status()> reload;
    ReloadMetrics* metrics = nullptr;
    LogPart log = LogPart::kAuth;
  };

  explicit Reloader(AuditLog& audit) : audit_(audit) {}
  ~Reloader();

  void Add(Part part);
  // `every_second` is called on the thread, after what changed was read.
  void Start(std::function<void()> every_second);
  // Reads all again, soon.
  void Now() EXCLUDES(mu_);

 private:
  struct Watched {
    Part part;
    FileWatch watch;
  };

  void Run() EXCLUDES(mu_);
  void Reload(const Part& part);

  AuditLog& audit_;
  std::vector<Watched> parts_;
  std::function<void()> every_second_;
  Mutex mu_;
  CondVar changed_;
  bool all_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace sluice::server
