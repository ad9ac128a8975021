// Offsets in rising order, appended at the back and taken off the front: what waits behind the head of an ordering key.
// Kept as the distances between them, as varints: one or two bytes each, so that five million cost what a few hundred
// batches do.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/named_type.h"

namespace sluice {

class OffsetList {
 public:
  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }

  // REQUIRES: !empty().
  Offset front() const { return front_; }
  Offset back() const { return back_; }

  // REQUIRES: empty(), or offset > back().
  void PushBack(Offset offset) {
    if (count_++ == 0) {
      front_ = offset;
    } else {
      Append(offset - back_);
    }
    back_ = offset;
  }

  // REQUIRES: !empty().
  void PopFront() {
    if (--count_ == 0) {
      *this = OffsetList();
      return;
    }
    front_ += Next();
    // What was taken is given back in large pieces, so that each byte is moved once on average.
    if (taken_ >= kLeastToGiveBack && taken_ * 2 >= distances_.size()) {
      distances_.erase(0, taken_);
      distances_.shrink_to_fit();
      taken_ = 0;
    }
  }

 private:
  static constexpr size_t kLeastToGiveBack = 4096;

  void Append(uint64_t distance) {
    for (; distance >= 0x80; distance >>= 7) distances_.push_back(static_cast<char>(distance | 0x80));
    distances_.push_back(static_cast<char>(distance));
  }

  uint64_t Next() {
    uint64_t distance = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(distances_[taken_++]);
      distance |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return distance;
    }
  }

  Offset front_;
  Offset back_;
  size_t count_ = 0;
  std::string distances_;
  // Bytes of it that belong to offsets taken off the front.
  size_t taken_ = 0;
};

}  // namespace sluice
