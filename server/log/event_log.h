// What stands behind the functions of log.h: levels, repeats and the form of a line. Tests make one
// of their own, with a clock that they drive and a sink that they read.
//
//   EventLog log(sink, clock);
//   log.SetLevels(levels);
//   log.Write(LogLevel::kWarning, LogPart::kPush, "circuit breaker", {{"endpoint", "https://example.com"}});
//   log.WriteDue();                       // once a second, for events that were held back
//
// Thread rule: SetFormat before the rest; every other member from any thread. Lifetime: the clock
// lives longer.
#pragma once

#include <array>
#include <atomic>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "server/log/log.h"
#include "server/log/repeats.h"
#include "spdlog/logger.h"

namespace sluice::server {

class EventLog {
 public:
  EventLog(spdlog::sink_ptr sink, const Clock& clock);

  void SetFormat(LogFormat format);
  void SetLevels(const LogLevels& levels);
  bool Writes(LogLevel level, LogPart part) const {
    return level >= levels_[static_cast<size_t>(part)].load(std::memory_order_relaxed);
  }

  void Write(LogLevel level, LogPart part, std::string_view event, const LogFields& fields)
      EXCLUDES(mu_);
  // Events that were held back: those whose time has come, and all.
  void WriteDue() EXCLUDES(mu_);
  void WriteHeld() EXCLUDES(mu_);

 private:
  template <class Fields>
  void WriteLine(LogLevel level, LogPart part, std::string_view event, const Fields& fields);
  void WriteLines(const std::vector<HeldEvent>& held);

  const Clock& clock_;
  LogFormat format_ = LogFormat::kText;
  spdlog::logger logger_;
  std::array<std::atomic<LogLevel>, kLogParts> levels_;

  Mutex mu_;
  Repeats repeats_ GUARDED_BY(mu_);
};

}  // namespace sluice::server
