#include "server/log.h"

#include "nlohmann/json.hpp"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace sluice::server {
namespace {

LogFormat log_format = LogFormat::kText;

void Write(spdlog::level::level_enum level, std::string_view event, const LogFields& fields) {
  if (log_format == LogFormat::kJson) {
    // The pattern gives the front of the object: time and level.
    nlohmann::ordered_json line;
    line["msg"] = event;
    for (const auto& [key, value] : fields) line[std::string(key)] = value;
    // Bytes that are not UTF-8 must not keep an event out of the log.
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    spdlog::log(level, "{}", std::string_view(text).substr(1));
    return;
  }
  std::string text(event);
  for (const auto& [key, value] : fields) {
    const bool quoted = value.find_first_of(" \"=\n") != std::string::npos || value.empty();
    text += fmt::format(" {}={}", key, quoted ? nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : value);
  }
  spdlog::log(level, "{}", text);
}

}  // namespace

void SetUpLog(LogFormat format) {
  log_format = format;
  auto logger = spdlog::stderr_logger_mt("sluiced");
  logger->set_pattern(format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v)"
                                                 : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

void Log(std::string_view event, const LogFields& fields) { Write(spdlog::level::info, event, fields); }
void LogWarning(std::string_view event, const LogFields& fields) { Write(spdlog::level::warn, event, fields); }
void LogError(std::string_view event, const LogFields& fields) { Write(spdlog::level::err, event, fields); }

}  // namespace sluice::server
