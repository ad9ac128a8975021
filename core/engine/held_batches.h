// The batches of a subscription that are wanted again soon: of messages that were passed over or
// released. The one that was not used for longest goes first.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "core/message/batch.h"

namespace sluice {

class HeldBatches {
 public:
  // Bounded in bytes, but for the last one put.
  static constexpr size_t kMaxBytes = size_t{1} << 20;
  static constexpr size_t kMaxBatches = 64;

  // Null when it is not here.
  Ref<Batch> Find(Offset offset) {
    auto it = std::find_if(batches_.rbegin(), batches_.rend(), [offset](const Ref<Batch>& batch) {
      return batch->first() <= offset && offset < batch->end();
    });
    if (it == batches_.rend()) return nullptr;
    if (it != batches_.rbegin()) {
      Ref<Batch> found = std::move(*it);
      batches_.erase(std::next(it).base());
      batches_.push_back(std::move(found));
    }
    return batches_.back();
  }

  void Put(const Ref<Batch>& batch) {
    if (Find(batch->first()) != nullptr) return;
    batches_.push_back(batch);
    bytes_ += batch->memory_bytes();
    while (batches_.size() > 1 && (bytes_ > kMaxBytes || batches_.size() > kMaxBatches)) {
      bytes_ -= batches_.front()->memory_bytes();
      batches_.erase(batches_.begin());
    }
  }

  void Clear() {
    batches_.clear();
    bytes_ = 0;
  }

 private:
  // The most recently used one last.
  std::vector<Ref<Batch>> batches_;
  size_t bytes_ = 0;
};

}  // namespace sluice
