// So many a second, and a burst of some more after a quiet while. Whoever takes more than there is
// gets a time from which on it is covered, and waits until then: what has to happen is put off,
// never refused.
//
//   TokenBucket redeliveries(1000, 1000);                     // a second, at once
//   const Instant allowed = redeliveries.Take(20, clock.Now());
//
// Thread rule: a plain object; the owner locks.
#pragma once

#include <cstdint>

#include "core/base/clock.h"

namespace sluice {

class TokenBucket {
 public:
  // Full at first. REQUIRES: per_second > 0.
  TokenBucket(double per_second, double burst)
      : per_second_(per_second), burst_(burst), tokens_(burst) {}

  // When `count` tokens are there, which are taken: `now`, or later.
  Instant Take(uint64_t count, Instant now);

  // Whether the whole burst is there.
  bool Full(Instant now) {
    Take(0, now);
    return tokens_ >= burst_;
  }

 private:
  const double per_second_;
  const double burst_;
  // Below zero for what was taken and is not there yet; as of `at_`.
  double tokens_;
  Instant at_;
};

}  // namespace sluice
