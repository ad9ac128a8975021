#include "core/flow/retry.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr RetryPolicy kFloor = {absl::Milliseconds(10), absl::Seconds(1)};
constexpr double kMostJitter = 0.2;

// 0 to 1. (Vigna's splitmix64, https://prng.di.unimi.it/splitmix64.c)
double Fraction(uint64_t seed) {
  uint64_t z = seed + 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) / static_cast<double>(uint64_t{1} << 53);
}

}  // namespace

absl::Duration RetryDelay(const std::optional<RetryPolicy>& policy, uint32_t attempts,
                          uint64_t seed) {
  if (!policy && attempts <= 1) return absl::ZeroDuration();
  const RetryPolicy& bounds = policy ? *policy : kFloor;
  const uint32_t doublings = attempts - (policy ? 1 : 2);
  absl::Duration wait = bounds.minimum;
  for (uint32_t i = 0; i < doublings && wait < bounds.maximum && wait > absl::ZeroDuration(); ++i)
    wait *= 2;
  wait = std::min(wait, bounds.maximum);
  return std::max(bounds.minimum, wait * (1 - kMostJitter * Fraction(seed ^ attempts)));
}

}  // namespace sluice
