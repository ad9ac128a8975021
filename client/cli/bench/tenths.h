// How fast the first and the last tenth of a known number of messages went: whether a load slows
// down as it grows.
//
//   Tenths tenths(messages);
//   tenths.Look(done, NowNanos());                         // from time to time, every few milliseconds
//
// Thread rule: for one thread.
#pragma once

#include <cstdint>

namespace sluice::cli {

class Tenths {
 public:
  explicit Tenths(uint64_t messages) : messages_(messages) {}

  void Look(uint64_t done, int64_t now) {
    if (first_.at == 0 && done >= messages_ / 10) first_ = {done, now};
    if (last_.at == 0 && done >= messages_ - messages_ / 10) last_ = {done, now};
  }

  // Messages a second; `done` messages by `end` altogether, all times in nanoseconds.
  double FirstRate(int64_t start) const { return Rate(first_.done, first_.at - start); }
  double LastRate(uint64_t done, int64_t end) const {
    return Rate(done - last_.done, end - last_.at);
  }

 private:
  struct Mark {
    uint64_t done = 0;
    int64_t at = 0;
  };
  static double Rate(uint64_t count, int64_t nanos) {
    return nanos > 0 ? static_cast<double>(count) * 1e9 / static_cast<double>(nanos) : 0;
  }

  const uint64_t messages_;
  Mark first_;
  Mark last_;
};

}  // namespace sluice::cli
