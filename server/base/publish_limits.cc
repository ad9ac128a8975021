#include "server/base/publish_limits.h"

#include <array>
#include <charconv>
#include <utility>

#include "fmt/format.h"

namespace sluice::server {
namespace {

constexpr absl::Duration kDefaultWait = absl::Seconds(1);
constexpr absl::Duration kLongestWait = absl::Minutes(10);

std::string SetOne(std::string_view key, std::string_view value, AdmissionLimits* limits) {
  if (key == "wait") {
    const bool parsed = absl::ParseDuration(std::string(value), &limits->wait);
    if (parsed && limits->wait >= absl::ZeroDuration() && limits->wait <= kLongestWait) return "";
    return "wait must be a duration from 0 to 10m, not " + std::string(value);
  }
  int64_t amount = 0;
  if (!ParseAmount(value, &amount)) {
    return std::string(key) + " must be a number of at least 1, such as 500, 20k or 16MiB, not " +
           std::string(value);
  }
  if (key == "batches") {
    limits->batches = amount;
  } else if (key == "bytes") {
    limits->bytes = amount;
  } else if (key == "messages/s") {
    limits->messages_per_second = static_cast<double>(amount);
  } else if (key == "bytes/s") {
    limits->bytes_per_second = static_cast<double>(amount);
  } else {
    return "there are the limits batches, bytes, messages/s, bytes/s and wait, and no '" +
           std::string(key) + "'";
  }
  return "";
}

}  // namespace

bool ParseAmount(std::string_view text, int64_t* amount) {
  static constexpr std::array<std::pair<std::string_view, int64_t>, 10> kUnits = {
      {{"", 1},
       {"k", 1000},
       {"M", 1'000'000},
       {"G", 1'000'000'000},
       {"KiB", 1 << 10},
       {"MiB", 1 << 20},
       {"GiB", 1 << 30},
       {"kB", 1000},
       {"MB", 1'000'000},
       {"GB", 1'000'000'000}}};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *amount);
  if (error != std::errc() || *amount < 1) return false;
  const std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
  for (const auto& [unit, factor] : kUnits) {
    if (unit == suffix) return !__builtin_mul_overflow(*amount, factor, amount);
  }
  return false;
}

std::string ParsePublishLimit(std::string_view text, AdmissionOptions* options) {
  const size_t colon = text.find(':');
  const std::string_view scope = text.substr(0, colon);
  AdmissionLimits* target = scope == "server"    ? &options->server
                            : scope == "project" ? &options->project
                            : scope == "topic"   ? &options->topic
                                                 : nullptr;
  if (target == nullptr || colon == std::string_view::npos) {
    return "must begin with server:, project: or topic:";
  }
  AdmissionLimits limits;
  limits.wait = kDefaultWait;
  for (std::string_view rest = text.substr(colon + 1); !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
    const size_t equals = item.find('=');
    const std::string_view value = equals == std::string_view::npos ? "" : item.substr(equals + 1);
    if (std::string wrong = SetOne(item.substr(0, equals), value, &limits); !wrong.empty())
      return wrong;
  }
  if (!limits.any()) return "names no limit; such as " + std::string(scope) + ":batches=64";
  *target = limits;
  return "";
}

std::vector<std::string> PublishLimitTexts(const AdmissionOptions& options) {
  std::vector<std::string> texts;
  const auto add = [&texts](std::string_view scope, const AdmissionLimits& limits) {
    if (!limits.any()) return;
    std::string text = fmt::format("{}:", scope);
    const auto limit = [&text](std::string_view key, auto value) {
      if (value > 0) text += fmt::format("{}={},", key, static_cast<int64_t>(value));
    };
    limit("batches", limits.batches);
    limit("bytes", limits.bytes);
    limit("messages/s", limits.messages_per_second);
    limit("bytes/s", limits.bytes_per_second);
    texts.push_back(text + "wait=" + absl::FormatDuration(limits.wait));
  };
  add("server", options.server);
  add("project", options.project);
  add("topic", options.topic);
  return texts;
}

}  // namespace sluice::server
