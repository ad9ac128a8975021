#include "core/flow/token_bucket.h"

#include <algorithm>

namespace sluice {

Instant TokenBucket::Take(uint64_t count, Instant now) {
  if (now > at_) {
    tokens_ = std::min(burst_, tokens_ + absl::ToDoubleSeconds(now - at_) * per_second_);
    at_ = now;
  }
  tokens_ -= static_cast<double>(count);
  return tokens_ >= 0 ? now : now + absl::Seconds(-tokens_ / per_second_);
}

}  // namespace sluice
