// The newest batches of all topics, bounded in bytes, shared by all subscriptions: who is a little behind need not read
// the log. The oldest entry goes first, whatever its topic.
//
// Thread rule: every member may be called from any thread; its lock is a leaf.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/mutex.h"
#include "core/message/batch.h"
#include "core/metrics/metrics.h"

namespace sluice {

class TailCache {
 public:
  TailCache(size_t limit_bytes, Gauge& bytes) : limit_(limit_bytes), bytes_gauge_(bytes) {}

  // REQUIRES: batches of a topic come in the order of their offsets. A batch larger than the limit is not kept.
  void Insert(TopicId topic, Ref<Batch> batch) EXCLUDES(mu_);

  // Consecutive batches from the one that holds `from` on, up to `max_bytes` beyond the first; empty when that one is
  // not here.
  std::vector<Ref<Batch>> Find(TopicId topic, Offset from, size_t max_bytes) const EXCLUDES(mu_);

  // Lets go of what lies below `before`.
  void DropBefore(TopicId topic, Offset before) EXCLUDES(mu_);

 private:
  void EvictOldest() REQUIRES(mu_);
  void PopFront(std::deque<Ref<Batch>>* batches) REQUIRES(mu_);
  void CompactOrder() REQUIRES(mu_);

  const size_t limit_;
  Gauge& bytes_gauge_;

  mutable Mutex mu_;
  size_t bytes_ GUARDED_BY(mu_) = 0;
  size_t count_ GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<TopicId, std::deque<Ref<Batch>>> topics_ GUARDED_BY(mu_);
  // Which topic's oldest batch goes next; entries whose batch was dropped already are passed over.
  std::deque<std::pair<TopicId, Offset>> order_ GUARDED_BY(mu_);
};

}  // namespace sluice
