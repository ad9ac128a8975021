// The only source of chance in a model run: the same seed gives the same run, on every machine and
// with every library.
//
// Thread rule: a plain object.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace sluice::model {

// Vigna's splitmix64, https://prng.di.unimi.it/splitmix64.c
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }

  // 0 to n - 1. REQUIRES: n > 0.
  uint64_t Below(uint64_t n) { return Next() % n; }
  // Both ends included.
  uint64_t Between(uint64_t least, uint64_t most) { return least + Below(most - least + 1); }
  bool Percent(uint64_t chance) { return Below(100) < chance; }
  template <class T>
  const T& Pick(const std::vector<T>& from) {
    return from[Below(from.size())];
  }
  absl::Duration Time(absl::Duration most) {
    return absl::Milliseconds(Between(0, static_cast<uint64_t>(absl::ToInt64Milliseconds(most))));
  }

 private:
  uint64_t state_;
};

}  // namespace sluice::model
