// Any text as a filter, with any bytes as a message behind the first zero: nothing crashes, errors
// are of one kind, and a filter and its negation never agree.
#include <string>

#include "core/base/error.h"
#include "core/filter/filter.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;  // NOLINT
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(0, end);
  const std::string_view message = input.substr(std::min(end + 1, input.size()));
  const auto filter = Filter::Compile(text);
  if (!filter.ok()) {
    const auto reason = ReasonOf(filter.status());
    fuzz::Check(reason == Reason::kInvalidFilter || reason == Reason::kInvalidUtf8,
                "errors say that the filter is wrong");
    return 0;
  }
  const bool matches = filter->Matches(message);
  if (filter->matches_all()) {
    fuzz::Check(matches, "what matches all matches this");
    return 0;
  }
  const auto negated = Filter::Compile("-(" + std::string(text) + ")");
  if (negated.ok())
    fuzz::Check(negated->Matches(message) != matches, "a filter and its negation never agree");
  return 0;
}
