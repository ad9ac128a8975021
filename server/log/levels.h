// How much is written to the log, for all parts of the server or for one: "info",
// "info,push=debug,tls=warning".
//
//   LogLevels levels;
//   const std::string wrong = ParseLogLevels("warning,push=debug", &levels);      // empty
//   levels.of(LogPart::kPush);                                                    // kDebug
//
// Thread rule: value types and pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// What an event is about. kServer for whatever has no part of its own.
enum class LogPart { kServer, kStore, kPush, kAuth, kTls, kAudit, kConfig, kHttp, kTrace, kGrpc };
inline constexpr size_t kLogParts = 10;

std::string_view ToString(LogLevel level);
std::string_view ToString(LogPart part);

struct LogLevels {
  LogLevel rest = LogLevel::kInfo;
  std::array<std::optional<LogLevel>, kLogParts> parts;

  LogLevel of(LogPart part) const { return parts[static_cast<size_t>(part)].value_or(rest); }
};

// Sets `levels` and returns an empty text, or says what is wrong.
std::string ParseLogLevels(std::string_view text, LogLevels* levels);
// What ParseLogLevels reads.
std::string ToText(const LogLevels& levels);

}  // namespace sluice::server
