#include "server/log.h"

#include "google/protobuf/stubs/common.h"
#if GOOGLE_PROTOBUF_VERSION < 4022000
#include "google/protobuf/stubs/logging.h"
#endif
#include "grpc/support/log.h"
#include "grpcpp/version_info.h"
#include "nlohmann/json.hpp"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace sluice::server {
namespace {

LogFormat log_format = LogFormat::kText;

// Bytes that are not UTF-8 must not keep an event out of the log.
std::string ToJson(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void Write(spdlog::level::level_enum level, std::string_view event, const LogFields& fields) {
  if (log_format == LogFormat::kJson) {
    // The pattern gives the front of the object: time and level.
    nlohmann::ordered_json line;
    line["msg"] = event;
    for (const auto& [key, value] : fields) line[std::string(key)] = value;
    spdlog::log(level, "{}", ToJson(line).substr(1));
    return;
  }
  std::string text(event);
  for (const auto& [key, value] : fields) {
    const bool quoted = value.find_first_of(" \"=\n") != std::string::npos || value.empty();
    text += fmt::format(" {}={}", key, quoted ? ToJson(value) : value);
  }
  spdlog::log(level, "{}", text);
}

// The libraries below us would write lines of their own on stderr. Later versions of both log through Abseil.
void TakeOverLibraryLogs() {
#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 65
  gpr_set_log_function([](gpr_log_func_args* args) {
    if (args->severity == GPR_LOG_SEVERITY_ERROR) LogWarning("grpc", {{"message", args->message}});
  });
#endif
#if GOOGLE_PROTOBUF_VERSION < 4022000
  // It complains of what clients send; they are told.
  google::protobuf::SetLogHandler(nullptr);
#endif
}

}  // namespace

void SetUpLog(LogFormat format) {
  log_format = format;
  auto logger = spdlog::stderr_logger_mt("sluiced");
  logger->set_pattern(format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v)"
                                                 : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  TakeOverLibraryLogs();
}

void Log(std::string_view event, const LogFields& fields) { Write(spdlog::level::info, event, fields); }
void LogWarning(std::string_view event, const LogFields& fields) { Write(spdlog::level::warn, event, fields); }
void LogError(std::string_view event, const LogFields& fields) { Write(spdlog::level::err, event, fields); }

}  // namespace sluice::server
