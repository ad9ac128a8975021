// The messages of one ordering key that are out, in the order of their offsets.
//
// Adding one and taking one from either end are O(1), amortised: a consumer may have ten thousands
// of one key.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "core/base/named_type.h"

namespace sluice {

struct OutMessage {
  Offset offset;
  LeaseId lease;
  uint32_t attempt = 1;
  bool acked = false;
};

class OutList {
 public:
  bool empty() const { return first_ == messages_.size(); }
  const OutMessage& front() const { return messages_[first_]; }
  const OutMessage& back() const { return messages_.back(); }

  // REQUIRES: it comes after all others.
  void PushBack(const OutMessage& message) { messages_.push_back(message); }
  void PopFront() {
    ++first_;
    // Moving what is left is paid for by as many that went.
    if (first_ < messages_.size() - first_) return;
    messages_.erase(messages_.begin(), messages_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
  void PopBack() { messages_.pop_back(); }

  template <class Fn>
  bool AllOf(Fn&& fn) const {
    return std::all_of(messages_.begin() + static_cast<ptrdiff_t>(first_), messages_.end(), fn);
  }
  // REQUIRES: it is there.
  OutMessage& Find(Offset offset) {
    return *std::lower_bound(
        messages_.begin() + static_cast<ptrdiff_t>(first_), messages_.end(), offset,
        [](const OutMessage& message, Offset wanted) { return message.offset < wanted; });
  }

 private:
  absl::InlinedVector<OutMessage, 2> messages_;
  // Those in front of it are gone.
  size_t first_ = 0;
};

}  // namespace sluice
