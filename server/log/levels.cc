#include "server/log/levels.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace sluice::server {
namespace {

constexpr std::array<std::string_view, 4> kLevelNames = {"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, kLogParts> kPartNames = {
    "server", "store", "push", "auth", "tls", "audit", "config", "http", "trace", "grpc"};

template <class Enum, class Names>
bool Find(const Names& names, std::string_view name, Enum* found) {
  const auto* it = std::find(names.begin(), names.end(), name);
  if (it == names.end()) return false;
  *found = static_cast<Enum>(it - names.begin());
  return true;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::string SetOne(std::string_view item, LogLevels* levels, bool* rest_is_set) {
  const size_t equals = item.find('=');
  const std::string_view name =
      Trimmed(item.substr(equals == std::string_view::npos ? 0 : equals + 1));
  LogLevel level;
  if (!Find(kLevelNames, name, &level)) {
    return fmt::format("unknown level '{1}'; use {0}", fmt::join(kLevelNames, ", "), name);
  }
  if (equals == std::string_view::npos) {
    if (std::exchange(*rest_is_set, true))
      return fmt::format("'{}' is a second level for all parts", name);
    levels->rest = level;
    return "";
  }
  LogPart part;
  const std::string_view part_name = Trimmed(item.substr(0, equals));
  if (!Find(kPartNames, part_name, &part)) {
    return fmt::format("there are the parts {}, and no '{}'", fmt::join(kPartNames, ", "),
                       part_name);
  }
  std::optional<LogLevel>& of = levels->parts[static_cast<size_t>(part)];
  if (of) return fmt::format("'{}' has a level already", part_name);
  of = level;
  return "";
}

}  // namespace

std::string_view ToString(LogLevel level) { return kLevelNames[static_cast<size_t>(level)]; }
std::string_view ToString(LogPart part) { return kPartNames[static_cast<size_t>(part)]; }

std::string ParseLogLevels(std::string_view text, LogLevels* levels) {
  LogLevels read;
  bool rest_is_set = false;
  for (;;) {
    const size_t comma = text.find(',');
    if (std::string wrong = SetOne(text.substr(0, comma), &read, &rest_is_set); !wrong.empty())
      return wrong;
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  *levels = read;
  return "";
}

std::string ToText(const LogLevels& levels) {
  std::string text(ToString(levels.rest));
  for (size_t i = 0; i < kLogParts; ++i) {
    if (levels.parts[i]) text += fmt::format(",{}={}", kPartNames[i], ToString(*levels.parts[i]));
  }
  return text;
}

}  // namespace sluice::server
