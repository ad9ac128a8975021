// What a setting may be: how its text is read, and how it is written again. Each function makes one
// kind over the place where the value is kept.
//
//   Options options;
//   Value value = Duration(options.shutdown_timeout, absl::Milliseconds(1), absl::Hours(1));
//   value.read("25");          // "must be a duration from 1ms to 1h, such as 25s"; and nothing has changed
//   value.read("30s");         // "", and options.shutdown_timeout is 30 s
//   value.texts();             // {"30s"}
//
// What a text says must not depend on where it stands: flags, variables and files are read by the
// same functions.
//
// Thread rule: plain objects. Lifetime: the place lives longer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/flow/admission.h"
#include "server/log/levels.h"

namespace sluice::server {

struct Value {
  // For --help: HOST:PORT, DURATION.
  std::string type;
  // What it has to be, for the reference and after "must be".
  std::string must_be;
  // Empty when the text was taken, else what is wrong without the text itself, which may be a
  // secret.
  std::function<std::string(const std::string&)> read;
  // What `read` takes: one text, any number for a list.
  std::function<std::vector<std::string>()> texts;
  // For a list, which `read` adds to: takes all away. Null for others.
  std::function<void()> clear = nullptr;
  // --name alone means true.
  bool is_switch = false;

  bool is_list() const { return clear != nullptr; }
};

enum class Empty { kRefused, kAllowed };

// HOST:PORT.
Value Address(std::string& to, Empty empty = Empty::kRefused);
// HOST:PORT or https://HOST:PORT of another server; empty for none.
Value Endpoint(std::string& to);
// "25s", "1h30m", as Go and Abseil write it: with a unit.
Value Duration(absl::Duration& to, absl::Duration least, absl::Duration most);
// "1GiB", or in bytes. K, M, G and T with or without i and B are powers of 1,024.
Value Size(size_t& to);
// A whole number.
Value Count(std::function<void(int64_t)> set, std::function<int64_t()> get, int64_t least,
            int64_t most);
template <class Integer>
Value Count(Integer& to, int64_t least, int64_t most) {
  return Count([&to](int64_t value) { to = static_cast<Integer>(value); },
               [&to] { return static_cast<int64_t>(to); }, least, most);
}
// Such as 0.01.
Value Fraction(double& to, double least, double most);
Value Text(std::string& to);
// A file that has to be there; empty for none.
Value InputFile(std::string& to);
// true or false.
Value Switch(bool& to);
// The same, kept the other way round.
Value SwitchOff(bool& to);
Value OneOf(std::string& to, std::vector<std::string> choices);
Value OneOf(std::function<void(size_t)> set, std::function<size_t()> get,
            std::vector<std::string> choices);
// An enum whose values count from 0.
template <class Enum>
Value OneOf(Enum& to, std::vector<std::string> choices) {
  return OneOf([&to](size_t value) { to = static_cast<Enum>(value); },
               [&to] { return static_cast<size_t>(to); }, std::move(choices));
}
Value Levels(LogLevels& to);
// A list, a text for each scope (publish_limits.h).
Value PublishLimits(AdmissionOptions& to);

// "https://user:password@example.com/" without the first two.
std::string WithoutUserinfo(const std::string& text);

}  // namespace sluice::server
