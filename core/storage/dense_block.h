// One bit for each of 4,096 consecutive offsets: what is acknowledged where nearly every second
// message is.
//
// Thread rule: a plain container; the owner locks.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice {

class DenseBlock {
 public:
  static constexpr uint32_t kSize = 4096;

  bool full() const { return count_ == kSize; }

  // Sets bits [begin, end); returns how many were not set before. REQUIRES: begin < end <= kSize.
  uint32_t Set(uint32_t begin, uint32_t end) {
    uint32_t added = 0;
    while (begin < end) {
      const uint32_t stop = std::min(end, begin - begin % kWord + kWord);
      uint64_t& word = words_[begin / kWord];
      const uint64_t mask = (~uint64_t{0} >> (kWord - (stop - begin))) << (begin % kWord);
      added += static_cast<uint32_t>(std::popcount(mask & ~word));
      word |= mask;
      begin = stop;
    }
    count_ += added;
    return added;
  }

  // The first bit at or after `from` that is set, or that is not; kSize when there is none.
  uint32_t NextSet(uint32_t from) const { return Next(from, 0); }
  uint32_t NextClear(uint32_t from) const { return Next(from, ~uint64_t{0}); }
  // Behind the last bit that is set; 0 when there is none.
  uint32_t End() const {
    for (size_t i = words_.size(); i-- > 0;) {
      if (words_[i] != 0)
        return static_cast<uint32_t>(i) * kWord + static_cast<uint32_t>(std::bit_width(words_[i]));
    }
    return 0;
  }

 private:
  static constexpr uint32_t kWord = 64;

  uint32_t Next(uint32_t from, uint64_t flip) const {
    for (; from < kSize; from = from - from % kWord + kWord) {
      const uint64_t rest = (words_[from / kWord] ^ flip) >> (from % kWord);
      if (rest != 0) return from + static_cast<uint32_t>(std::countr_zero(rest));
    }
    return kSize;
  }

  std::array<uint64_t, kSize / kWord> words_{};
  uint32_t count_ = 0;
};

}  // namespace sluice
