#include "server/log/event_log.h"

#include <string>
#include <utility>

#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace sluice::server {
namespace {

// Bytes that are not UTF-8 must not keep an event out of the log.
std::string ToJson(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

}  // namespace

EventLog::EventLog(spdlog::sink_ptr sink, const Clock& clock)
    : clock_(clock), logger_("sluiced", std::move(sink)) {
  logger_.set_level(spdlog::level::trace);
  logger_.flush_on(spdlog::level::trace);
  SetFormat(LogFormat::kText);
  SetLevels({});
}

void EventLog::SetFormat(LogFormat format) {
  format_ = format;
  logger_.set_pattern(format == LogFormat::kJson
                          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v)"
                          : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
}

void EventLog::SetLevels(const LogLevels& levels) {
  for (size_t i = 0; i < kLogParts; ++i) levels_[i] = levels.of(static_cast<LogPart>(i));
}

template <class Fields>
void EventLog::WriteLine(LogLevel level, LogPart part, std::string_view event,
                         const Fields& fields) {
  if (format_ == LogFormat::kJson) {
    // The pattern gives the front of the object: time and level.
    nlohmann::ordered_json line;
    line["part"] = ToString(part);
    line["msg"] = event;
    for (const auto& [key, value] : fields) line[std::string(key)] = value;
    logger_.log(LevelOf(level), "{}", ToJson(line).substr(1));
    return;
  }
  std::string text(event);
  const auto add = [&text](std::string_view key, const std::string& value) {
    const bool quoted = value.find_first_of(" \"=\n") != std::string::npos || value.empty();
    text += fmt::format(" {}={}", key, quoted ? ToJson(value) : value);
  };
  for (const auto& [key, value] : fields) add(key, value);
  if (part != LogPart::kServer) add("part", std::string(ToString(part)));
  logger_.log(LevelOf(level), "{}", text);
}

void EventLog::WriteLines(const std::vector<HeldEvent>& held) {
  for (const HeldEvent& event : held) WriteLine(event.level, event.part, event.event, event.fields);
}

// Who asked for debug wants all of it.
void EventLog::Write(LogLevel level, LogPart part, std::string_view event,
                     const LogFields& fields) {
  if (!Writes(level, part)) return;
  if (level == LogLevel::kDebug) return WriteLine(level, part, event, fields);
  std::vector<HeldEvent> due;
  bool now = false;
  {
    MutexLock lock(mu_);
    now = repeats_.MayWrite(level, part, event, fields, clock_.Now(), &due);
  }
  WriteLines(due);
  if (now) WriteLine(level, part, event, fields);
}

void EventLog::WriteDue() {
  std::vector<HeldEvent> due;
  {
    MutexLock lock(mu_);
    due = repeats_.TakeDue(clock_.Now());
  }
  WriteLines(due);
}

void EventLog::WriteHeld() {
  std::vector<HeldEvent> held;
  {
    MutexLock lock(mu_);
    held = repeats_.TakeAll();
  }
  WriteLines(held);
}

}  // namespace sluice::server
