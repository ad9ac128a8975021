// The server's log: one line an event on stderr, as text or as JSON.
//
//   SetUpLog(LogFormat::kJson);
//   Log("ready", {{"grpc", address}, {"store", "local"}});                // ready grpc=127.0.0.1:8085 store=local
//   LogWarning(LogPart::kTls, "certificate ends soon", {{"file", file}});    // certificate ends soon file=... part=tls
//
// Each part has a level (`log.level`: "info,push=debug"), which may change at any time; without a
// part it is the server's. The text of an event stays the same and what differs is in fields: so it
// can be searched for, and one that comes more than 10 times in 10 s is held back and told of with
// `repeated=K` (log/repeats.h). Of a request, the fields request_id and trace_id name it where they
// are known.
//
// Thread rule: SetUpLog once, before the rest; then from any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/log/levels.h"

namespace sluice::server {

enum class LogFormat { kText, kJson };
using LogFields = std::vector<std::pair<std::string_view, std::string>>;

void SetUpLog(LogFormat format);
void SetLogLevels(const LogLevels& levels);

void Log(LogPart part, std::string_view event, const LogFields& fields = {});
void LogDebug(LogPart part, std::string_view event, const LogFields& fields = {});
void LogWarning(LogPart part, std::string_view event, const LogFields& fields = {});
void LogError(LogPart part, std::string_view event, const LogFields& fields = {});
inline void Log(std::string_view event, const LogFields& fields = {}) {
  Log(LogPart::kServer, event, fields);
}
inline void LogWarning(std::string_view event, const LogFields& fields = {}) {
  LogWarning(LogPart::kServer, event, fields);
}
inline void LogError(std::string_view event, const LogFields& fields = {}) {
  LogError(LogPart::kServer, event, fields);
}

// Whether it is worth while to put the fields together.
bool LogsDebug(LogPart part);

// Writes the events that were held back, those that are due (call it about once a second) or all
// (before the end).
void LogHeldBackDue();
void LogHeldBack();

}  // namespace sluice::server
