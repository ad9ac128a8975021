#include "server/security/audit/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "server/log/log.h"

namespace sluice::server {
namespace {

constexpr std::string_view kStdout = "stdout";
constexpr mode_t kMode = 0640;

std::string LineOf(const AuditRecord& record, absl::Time now) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", now, absl::UTCTimeZone());
  line["event"] = record.event;
  line["decision"] = record.decision;
  const auto add = [&line](const char* key, std::string_view value) {
    if (!value.empty()) line[key] = value;
  };
  add("identity", record.identity);
  add("peer", record.peer);
  add("rpc", record.rpc);
  add("resource", record.resource);
  add("reason", record.reason);
  add("request_id", record.request_id);
  return line.dump(-1, ' ', /*ensure_ascii=*/false,
                   nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(const AuditOptions& options,
                                                         const Clock& clock,
                                                         SecurityMetrics& metrics) {
  auto log = std::unique_ptr<AuditLog>(new AuditLog(options, clock, metrics));
  MutexLock lock(log->mu_);
  if (log->enabled() && !log->OpenFile()) {
    return Error(Reason::kInvalidConfig,
                 fmt::format("audit.file: {}: cannot be opened: {}", options.file,
                             std::system_category().message(errno)),
                 {{"field", "audit.file"}, {"value", options.file}});
  }
  lock.Unlock();
  return log;
}

AuditLog::~AuditLog() {
  MutexLock lock(mu_);
  CloseFile();
}

bool AuditLog::OpenFile() {
  if (options_.file == kStdout) {
    fd_ = STDOUT_FILENO;
    return true;
  }
  fd_ = ::open(options_.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, kMode);
  struct stat found = {};
  if (fd_ < 0 || ::fstat(fd_, &found) != 0) return false;
  bytes_ = static_cast<uint64_t>(found.st_size);
  return true;
}

void AuditLog::CloseFile() {
  if (fd_ >= 0 && fd_ != STDOUT_FILENO) ::close(fd_);
  fd_ = -1;
}

void AuditLog::Rotate() {
  const auto name = [&](int i) {
    return i == 0 ? options_.file : fmt::format("{}.{}", options_.file, i);
  };
  CloseFile();
  for (int i = options_.files; i > 0; --i) std::rename(name(i - 1).c_str(), name(i).c_str());
  if (options_.files == 0) ::unlink(options_.file.c_str());
}

bool AuditLog::WriteLine(std::string_view line) {
  const bool rotates =
      options_.file != kStdout && bytes_ > 0 && bytes_ + line.size() > options_.max_bytes;
  if (fd_ >= 0 && rotates) Rotate();
  if (fd_ < 0 && !OpenFile()) return false;
  std::string with_break;
  if (torn_) {
    with_break.assign("\n").append(line);
    line = with_break;
  }
  while (!line.empty()) {
    const ssize_t written = ::write(fd_, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    torn_ = true;
    bytes_ += static_cast<uint64_t>(written);
    line.remove_prefix(static_cast<size_t>(written));
  }
  torn_ = false;
  return true;
}

absl::Status AuditLog::Write(const AuditRecord& record) {
  if (!enabled()) return absl::OkStatus();
  const std::string line = LineOf(record, clock_.WallNow());
  std::string why;
  bool first = false;
  {
    MutexLock lock(mu_);
    if (WriteLine(line)) {
      failing_ = false;
      metrics_.audit_records.Add();
      return absl::OkStatus();
    }
    why = std::system_category().message(errno);
    // What was wrong with the file may be well with a new one.
    CloseFile();
    first = !std::exchange(failing_, true);
  }
  metrics_.audit_failures.Add();
  if (first)
    LogError(LogPart::kAudit, "the audit log cannot be written",
             {{"file", options_.file}, {"error", why}});
  return RetryableError(Reason::kAuditUnavailable, "the audit log cannot be written",
                        absl::Seconds(10));
}

void AuditLog::Reopen() {
  MutexLock lock(mu_);
  CloseFile();
}

}  // namespace sluice::server
