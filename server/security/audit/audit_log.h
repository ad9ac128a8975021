// The audit log: a line of JSON for each change that an administrator makes, each call that is
// denied, each failed authentication, and each time that a policy, tokens, keys or certificates
// were read again.
//
//   {"time":"2026-11-26T10:00:00.123456Z","event":"call","decision":"denied","identity":"token:ci","peer":"ipv4:10.0.0.7:51234",
//    "rpc":"sluice.v1.Admin/DeleteTopic","resource":"projects/b/topics/orders","reason":"PERMISSION_DENIED",
//    "request_id":"5f0c..."}
//
// Never a payload, never a secret. A file is kept below a size: it becomes FILE.1, what was FILE.1
// becomes FILE.2, and so on. Reopen() is for whoever moves files away itself.
//
// Thread rule: every member may be called from any thread. A line is written before Write returns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "server/security/auth/security_metrics.h"

namespace sluice::server {

struct AuditOptions {
  // "" for none, "stdout", or a path.
  std::string file;
  uint64_t max_bytes = uint64_t{100} << 20;
  // Older files that are kept.
  int files = 5;
  // Whether changes are refused while lines cannot be written.
  bool required = true;
};

struct AuditRecord {
  // "call", "authentication", "reload".
  std::string_view event = {};
  // "allowed", "denied", "ok", "failed".
  std::string_view decision = {};
  std::string_view identity = {};
  std::string_view peer = {};
  std::string_view rpc = {};
  std::string_view resource = {};
  std::string_view reason = {};
  std::string_view request_id = {};
};

class AuditLog {
 public:
  // INVALID_ARGUMENT (INVALID_CONFIG) when the file cannot be opened.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(const AuditOptions& options,
                                                        const Clock& clock,
                                                        SecurityMetrics& metrics);
  ~AuditLog();

  // UNAVAILABLE (AUDIT_UNAVAILABLE) when the line could not be written. Without a file nothing is
  // written.
  absl::Status Write(const AuditRecord& record) EXCLUDES(mu_);

  // Whether a change has to be refused when its line was not written.
  bool required() const { return options_.required; }
  bool enabled() const { return !options_.file.empty(); }

  void Reopen() EXCLUDES(mu_);

 private:
  AuditLog(AuditOptions options, const Clock& clock, SecurityMetrics& metrics)
      : options_(std::move(options)), clock_(clock), metrics_(metrics) {}

  bool OpenFile() REQUIRES(mu_);
  void CloseFile() REQUIRES(mu_);
  void Rotate() REQUIRES(mu_);
  bool WriteLine(std::string_view line) REQUIRES(mu_);

  const AuditOptions options_;
  const Clock& clock_;
  SecurityMetrics& metrics_;
  Mutex mu_;
  int fd_ GUARDED_BY(mu_) = -1;
  uint64_t bytes_ GUARDED_BY(mu_) = 0;
  // A line was begun and not finished: the next one starts anew.
  bool torn_ GUARDED_BY(mu_) = false;
  // Said once in the log until it is well again.
  bool failing_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
