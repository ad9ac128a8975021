// How long to wait before trying again: twice as long each time, up to a limit, with jitter, so
// that clients that lost one server do not all come back at once. (AWS Architecture Blog,
// "Exponential Backoff and Jitter".)
//
// Thread rule: guarded by the owner's lock.
#pragma once

#include <algorithm>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/error.h"

namespace sluice::client {

class Backoff {
 public:
  static constexpr absl::Duration kInitial = absl::Milliseconds(100);
  static constexpr absl::Duration kMaximum = absl::Seconds(10);

  // Half to all of 100 ms, 200 ms, 400 ms, ... 10 s; not less than the failure asks for.
  absl::Duration Next(const absl::Status& failure) {
    const absl::Duration wait = next_ * absl::Uniform(random_, 0.5, 1.0);
    next_ = std::min(next_ * 2, kMaximum);
    return std::max(wait, RetryDelayOf(failure).value_or(absl::ZeroDuration()));
  }
  void Reset() { next_ = kInitial; }

 private:
  absl::Duration next_ = kInitial;
  absl::BitGen random_;
};

}  // namespace sluice::client
