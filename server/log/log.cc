#include "server/log/log.h"

#include <memory>

#include "core/base/clock.h"
#include "google/protobuf/stubs/common.h"
#if GOOGLE_PROTOBUF_VERSION < 4022000
#include "google/protobuf/stubs/logging.h"
#endif
#include "grpc/support/log.h"
#include "grpcpp/version_info.h"
#include "server/log/event_log.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace sluice::server {
namespace {

// Never destroyed: threads of libraries may have something to say until the very end.
EventLog& TheLog() {
  static const SystemClock& clock = *new SystemClock;
  static EventLog& log = *new EventLog(std::make_shared<spdlog::sinks::stderr_sink_mt>(), clock);
  return log;
}

// The libraries below us would write lines of their own on stderr. Later versions of both log
// through Abseil.
void TakeOverLibraryLogs() {
#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 65
  gpr_set_log_function([](gpr_log_func_args* args) {
    if (args->severity == GPR_LOG_SEVERITY_ERROR)
      LogWarning(LogPart::kGrpc, "grpc", {{"message", args->message}});
  });
#endif
#if GOOGLE_PROTOBUF_VERSION < 4022000
  // It complains of what clients send; they are told.
  google::protobuf::SetLogHandler(nullptr);
#endif
}

}  // namespace

void SetUpLog(LogFormat format) {
  TheLog().SetFormat(format);
  TakeOverLibraryLogs();
}

void SetLogLevels(const LogLevels& levels) { TheLog().SetLevels(levels); }

void Log(LogPart part, std::string_view event, const LogFields& fields) {
  TheLog().Write(LogLevel::kInfo, part, event, fields);
}
void LogDebug(LogPart part, std::string_view event, const LogFields& fields) {
  TheLog().Write(LogLevel::kDebug, part, event, fields);
}
void LogWarning(LogPart part, std::string_view event, const LogFields& fields) {
  TheLog().Write(LogLevel::kWarning, part, event, fields);
}
void LogError(LogPart part, std::string_view event, const LogFields& fields) {
  TheLog().Write(LogLevel::kError, part, event, fields);
}

bool LogsDebug(LogPart part) { return TheLog().Writes(LogLevel::kDebug, part); }

void LogHeldBackDue() { TheLog().WriteDue(); }
void LogHeldBack() { TheLog().WriteHeld(); }

}  // namespace sluice::server
