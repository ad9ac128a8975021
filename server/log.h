// The server's log: one line an event on stderr, as text or as JSON.
//
//   SetUpLog(LogFormat::kJson);
//   Log("ready", {{"grpc", address}, {"store", "local"}});        // ready grpc=127.0.0.1:8085 store=local
//   LogError("cannot listen", {{"address", address}});
//
// Thread rule: SetUpLog once, before the rest; then from any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::server {

enum class LogFormat { kText, kJson };
using LogFields = std::vector<std::pair<std::string_view, std::string>>;

void SetUpLog(LogFormat format);
void Log(std::string_view event, const LogFields& fields = {});
void LogWarning(std::string_view event, const LogFields& fields = {});
void LogError(std::string_view event, const LogFields& fields = {});

}  // namespace sluice::server
