#include "server/config/value.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "absl/strings/numbers.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "server/base/publish_limits.h"
#include "server/tracing/trace_options.h"

namespace sluice::server {
namespace {

constexpr int kMaxPort = 65535;
constexpr std::string_view kSizeUnits = "KMGT";
constexpr int kBitsPerUnit = 10;
constexpr size_t kMaxSize = size_t{1'000'000'000'000'000};

std::string MustBe(const std::string& what) { return "must be " + what; }

bool IsAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  const std::string port = colon == std::string::npos ? "" : text.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == std::string::npos;
  return colon != 0 && digits && std::stoi(port) <= kMaxPort;
}

// How many bits a unit shifts by; negative for what is none.
int ShiftOf(std::string unit) {
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (unit.empty() || unit == "B") return 0;
  const size_t which = kSizeUnits.find(unit.front());
  const std::string rest = unit.substr(1);
  if (which == std::string_view::npos ||
      (!rest.empty() && rest != "B" && rest != "I" && rest != "IB"))
    return -1;
  return kBitsPerUnit * static_cast<int>(which + 1);
}

bool ParseSize(const std::string& text, size_t* size) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  std::string unit(end, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? 0 : unit.find_first_not_of(' '));
  const int shift = ShiftOf(unit);
  if (shift < 0 || number >= (kMaxSize >> shift)) return false;
  *size = number << shift;
  return true;
}

std::string SizeText(size_t size) {
  int unit = static_cast<int>(kSizeUnits.size());
  while (unit > 0 && (size == 0 || size % (size_t{1} << (kBitsPerUnit * unit)) != 0)) --unit;
  if (unit == 0) return std::to_string(size);
  return fmt::format("{}{}iB", size >> (kBitsPerUnit * unit),
                     kSizeUnits[static_cast<size_t>(unit) - 1]);
}

Value BoolValue(bool& to, bool when_on) {
  Value value = {
      "true|false", "true or false",
      [&to, when_on](const std::string& text) {
        if (text != "true" && text != "false") return MustBe("true or false");
        to = (text == "true") == when_on;
        return std::string();
      },
      [&to, when_on] { return std::vector<std::string>{to == when_on ? "true" : "false"}; }};
  value.is_switch = true;
  return value;
}

}  // namespace

Value Address(std::string& to, Empty empty) {
  const std::string must_be = fmt::format("HOST:PORT with a port from 0 to {}{}", kMaxPort,
                                          empty == Empty::kAllowed ? ", or empty for none" : "");
  return {"HOST:PORT", must_be,
          [&to, empty, must_be](const std::string& text) {
            if (!(text.empty() && empty == Empty::kAllowed) && !IsAddress(text))
              return MustBe(must_be);
            to = text;
            return std::string();
          },
          [&to] { return std::vector{to}; }};
}

Value Endpoint(std::string& to) {
  const std::string must_be = fmt::format(
      "HOST:PORT or https://HOST:PORT with a port from 0 to {}, or empty for none", kMaxPort);
  return {"[https://]HOST:PORT", must_be,
          [&to, must_be](const std::string& text) {
            const std::string address = TraceOptions{.endpoint = text}.address();
            if (!text.empty() && (!IsAddress(address) || address.find('/') != std::string::npos))
              return MustBe(must_be);
            to = text;
            return std::string();
          },
          [&to] { return std::vector{to}; }};
}

Value Duration(absl::Duration& to, absl::Duration least, absl::Duration most) {
  const std::string must_be = fmt::format("a duration from {} to {}, such as 25s",
                                          absl::FormatDuration(least), absl::FormatDuration(most));
  return {"DURATION", must_be,
          [&to, least, most, must_be](const std::string& text) {
            absl::Duration read;
            if (!absl::ParseDuration(text, &read) || read < least || read > most)
              return MustBe(must_be);
            to = read;
            return std::string();
          },
          [&to] { return std::vector{absl::FormatDuration(to)}; }};
}

Value Size(size_t& to) {
  const std::string must_be = "a size under 1 PB, such as 1GiB";
  return {"SIZE", must_be,
          [&to, must_be](const std::string& text) {
            return ParseSize(text, &to) ? std::string() : MustBe(must_be);
          },
          [&to] { return std::vector{SizeText(to)}; }};
}

Value Count(std::function<void(int64_t)> set, std::function<int64_t()> get, int64_t least,
            int64_t most) {
  const std::string must_be = fmt::format("a number from {} to {}", least, most);
  return {"NUMBER", must_be,
          [set = std::move(set), least, most, must_be](const std::string& text) {
            int64_t read = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
            if (error != std::errc() || end != text.data() + text.size() || read < least ||
                read > most) {
              return MustBe(must_be);
            }
            set(read);
            return std::string();
          },
          [get = std::move(get)] { return std::vector{std::to_string(get())}; }};
}

Value Fraction(double& to, double least, double most) {
  const std::string must_be = fmt::format("a number from {} to {}", least, most);
  return {"NUMBER", must_be,
          [&to, least, most, must_be](const std::string& text) {
            double read = 0;
            if (!absl::SimpleAtod(ToAbsl(text), &read) || !(read >= least && read <= most))
              return MustBe(must_be);
            to = read;
            return std::string();
          },
          [&to] { return std::vector{fmt::format("{}", to)}; }};
}

Value Text(std::string& to) {
  return {"TEXT", "a text",
          [&to](const std::string& text) {
            to = text;
            return std::string();
          },
          [&to] { return std::vector{to}; }};
}

Value InputFile(std::string& to) {
  return {"FILE", "a file that is there, or empty for none",
          [&to](const std::string& text) -> std::string {
            struct stat found = {};
            if (!text.empty() && (::stat(text.c_str(), &found) != 0 || S_ISDIR(found.st_mode)))
              return "there is no such file";
            to = text;
            return "";
          },
          [&to] { return std::vector{to}; }};
}

Value Switch(bool& to) { return BoolValue(to, true); }
Value SwitchOff(bool& to) { return BoolValue(to, false); }

Value OneOf(std::string& to, std::vector<std::string> choices) {
  const auto get = [&to, choices] {
    return static_cast<size_t>(std::find(choices.begin(), choices.end(), to) - choices.begin());
  };
  const auto set = [&to, choices](size_t which) { to = choices[which]; };
  return OneOf(set, get, std::move(choices));
}

Value OneOf(std::function<void(size_t)> set, std::function<size_t()> get,
            std::vector<std::string> choices) {
  const std::string must_be = fmt::format("one of {}", fmt::join(choices, ", "));
  return {fmt::format("{}", fmt::join(choices, "|")), must_be,
          [set = std::move(set), choices, must_be](const std::string& text) {
            const auto it = std::find(choices.begin(), choices.end(), text);
            if (it == choices.end()) return MustBe(must_be);
            set(static_cast<size_t>(it - choices.begin()));
            return std::string();
          },
          [get = std::move(get), choices] { return std::vector{choices.at(get())}; }};
}

Value Levels(LogLevels& to) {
  return {"LEVELS", "a level, and levels of parts, such as info,push=debug",
          [&to](const std::string& text) { return ParseLogLevels(text, &to); },
          [&to] { return std::vector{ToText(to)}; }};
}

Value PublishLimits(AdmissionOptions& to) {
  return {"SCOPE:LIMIT=N,...",
          "SCOPE:LIMIT=N,... with the scopes server, project, topic and the limits batches, bytes, "
          "messages/s, bytes/s, wait",
          [&to](const std::string& text) { return ParsePublishLimit(text, &to); },
          [&to] { return PublishLimitTexts(to); },
          [&to] { to.server = to.project = to.topic = AdmissionLimits(); }};
}

std::string WithoutUserinfo(const std::string& text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string::npos) return text;
  const size_t begin = scheme + 3;
  const size_t end = std::min(text.find_first_of("/?#", begin), text.size());
  const size_t at = text.rfind('@', end);
  if (at == std::string::npos || at < begin) return text;
  return text.substr(0, begin) + "***" + text.substr(at);
}

}  // namespace sluice::server
