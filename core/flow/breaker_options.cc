#include "core/flow/breaker_options.h"

#include <string>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr uint32_t kMaxCalls = 1'000'000;
constexpr uint32_t kMaxProbes = 10'000;
constexpr absl::Duration kMinWindow = absl::Milliseconds(10);
constexpr absl::Duration kMaxWindow = absl::Hours(1);
constexpr absl::Duration kMinCall = absl::Milliseconds(1);
constexpr absl::Duration kMaxCall = absl::Hours(1);
constexpr absl::Duration kMinOpen = absl::Milliseconds(1);
constexpr absl::Duration kMaxOpen = absl::Hours(24);

// Remembers the first field that is out of its bounds.
class Checker {
 public:
  explicit Checker(std::string_view prefix) : prefix_(prefix) {}

  void Count(std::string_view field, uint32_t value, uint32_t low, uint32_t high) {
    if (value < low || value > high)
      Refuse(field, std::to_string(value), fmt::format("{} to {}", low, high));
  }
  // Written so that it refuses what is not a number.
  void Ratio(std::string_view field, double value) {
    if (!(value >= 0 && value <= 1)) Refuse(field, fmt::format("{}", value), "0 to 1");
  }
  void Time(std::string_view field, absl::Duration value, absl::Duration low, absl::Duration high) {
    if (value >= low && value <= high) return;
    Refuse(field, absl::FormatDuration(value),
           fmt::format("{} to {}", absl::FormatDuration(low), absl::FormatDuration(high)));
  }
  absl::Status status() const { return status_; }

 private:
  void Refuse(std::string_view field, const std::string& value, const std::string& limit) {
    if (!status_.ok()) return;
    const std::string path = fmt::format("{}.{}", prefix_, field);
    status_ = Error(Reason::kInvalidBreakerPolicy,
                    fmt::format("{}: {} is not within {}", path, value, limit),
                    {{"field", path}, {"value", value}, {"limit", limit}});
  }

  const std::string_view prefix_;
  absl::Status status_;
};

}  // namespace

absl::Status Validate(const BreakerOptions& options, std::string_view prefix) {
  Checker check(prefix);
  check.Time("window", options.window, kMinWindow, kMaxWindow);
  check.Count("minimum_calls", options.minimum_calls, 1, kMaxCalls);
  check.Ratio("failure_ratio", options.failure_ratio);
  check.Count("consecutive_failures", options.consecutive_failures, 0, kMaxCalls);
  check.Ratio("slow_ratio", options.slow_ratio);
  check.Time("slow_call", options.slow_call, kMinCall, kMaxCall);
  check.Time("stalled_call", options.stalled_call, absl::ZeroDuration(), kMaxCall);
  check.Time("max_open_time", options.max_open_time, kMinOpen, kMaxOpen);
  check.Time("open_time", options.open_time, kMinOpen, options.max_open_time);
  check.Time("forget_after", options.forget_after, absl::ZeroDuration(), kMaxOpen);
  check.Count("probes", options.probes, 1, kMaxProbes);
  return check.status();
}

}  // namespace sluice
