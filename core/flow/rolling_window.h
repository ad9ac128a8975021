// What became of the calls of the last while, in ten slices that are forgotten one by one. Takes no
// memory beyond itself.
//
//   RollingWindow window(absl::Seconds(10));
//   window.Add({.calls = 1, .failures = 1}, clock.Now());
//   window.sum().failures;
//
// Thread rule: a plain object; the owner locks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/base/clock.h"

namespace sluice {

struct CallCounts {
  uint64_t calls = 0;
  uint64_t failures = 0;
  // May have failed or not.
  uint64_t slow = 0;
};

class RollingWindow {
 public:
  explicit RollingWindow(absl::Duration length)
      : width_(std::max<int64_t>(1, absl::ToInt64Nanoseconds(length) / kSlices)) {}

  // What is told late counts as of when it was, while that is remembered.
  void Add(const CallCounts& counts, Instant when) {
    Forget(when);
    const int64_t at = when.nanos() >= newest_end_ - width_ ? newest_ : when.nanos() / width_;
    if (at <= newest_ - kSlices) return;
    CallCounts& slice = slices_[static_cast<size_t>(at % kSlices)];
    Apply(counts, &slice, [](uint64_t a, uint64_t b) { return a + b; });
    Apply(counts, &sum_, [](uint64_t a, uint64_t b) { return a + b; });
  }

  // Lets go of what is too old by now.
  void Forget(Instant now) {
    if (now.nanos() < newest_end_) return;
    const int64_t at = now.nanos() / width_;
    const int64_t passed = std::min<int64_t>(at - newest_, kSlices);
    for (int64_t i = 1; i <= passed; ++i) {
      CallCounts& slice = slices_[static_cast<size_t>((at - passed + i) % kSlices)];
      Apply(slice, &sum_, [](uint64_t a, uint64_t b) { return a - b; });
      slice = {};
    }
    newest_ = std::max(newest_, at);
    newest_end_ = (newest_ + 1) * width_;
  }

  // Takes out what `other` has too. REQUIRES: all of that was added here, by the same times, and
  // the length is the same.
  void Subtract(const RollingWindow& other) {
    const int64_t first = std::max<int64_t>(0, std::max(newest_, other.newest_) - kSlices + 1);
    for (int64_t at = first; at <= std::min(newest_, other.newest_); ++at) {
      const CallCounts& gone = other.slices_[static_cast<size_t>(at % kSlices)];
      Apply(gone, &slices_[static_cast<size_t>(at % kSlices)],
            [](uint64_t a, uint64_t b) { return a - b; });
      Apply(gone, &sum_, [](uint64_t a, uint64_t b) { return a - b; });
    }
  }

  void Clear() {
    slices_ = {};
    sum_ = {};
  }

  const CallCounts& sum() const { return sum_; }
  absl::Duration slice() const { return absl::Nanoseconds(width_); }

 private:
  static constexpr int64_t kSlices = 10;

  template <class Op>
  static void Apply(const CallCounts& counts, CallCounts* to, Op op) {
    to->calls = op(to->calls, counts.calls);
    to->failures = op(to->failures, counts.failures);
    to->slow = op(to->slow, counts.slow);
  }

  const int64_t width_;
  // Slice number `n` is at n % kSlices; the newest one there is.
  int64_t newest_ = 0;
  // In nanoseconds.
  int64_t newest_end_ = 0;
  std::array<CallCounts, kSlices> slices_{};
  CallCounts sum_;
};

}  // namespace sluice
