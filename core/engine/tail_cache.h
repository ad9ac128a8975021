// The newest batches of all topics, bounded in bytes, shared by all subscriptions: who is a little
// behind need not read the log. The oldest entry goes first, whatever its topic. What it holds is
// in the ledger; where that has no room the cache makes some, or does without the batch.
//
// Thread rule: every member may be called from any thread; its lock is a leaf.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/mutex.h"
#include "core/flow/memory_ledger.h"
#include "core/message/batch.h"

namespace sluice {

class TailCache {
 public:
  TailCache(size_t limit_bytes, MemoryLedger& ledger) : limit_(limit_bytes), ledger_(ledger) {}
  ~TailCache();

  // REQUIRES: batches of a topic come in the order of their offsets. A batch larger than the limit
  // is not kept.
  void Insert(TopicId topic, Ref<Batch> batch) EXCLUDES(mu_);

  // Consecutive batches from the one that holds `from` on, up to `max_bytes` beyond the first;
  // empty when that one is not here.
  std::vector<Ref<Batch>> Find(TopicId topic, Offset from, size_t max_bytes) const EXCLUDES(mu_);

  // Lets go of what lies below `before`.
  void DropBefore(TopicId topic, Offset before) EXCLUDES(mu_);

  // Lets go of at least so many bytes, or of all.
  void Shrink(size_t bytes) EXCLUDES(mu_);

 private:
  void EvictOldest() REQUIRES(mu_);
  void EvictDownTo(size_t bytes) REQUIRES(mu_);
  void PopFront(std::deque<Ref<Batch>>* batches) REQUIRES(mu_);
  void CompactOrder() REQUIRES(mu_);

  const size_t limit_;
  MemoryLedger& ledger_;

  mutable Mutex mu_;
  size_t bytes_ GUARDED_BY(mu_) = 0;
  // Changed under the lock only.
  std::atomic<size_t> count_ = 0;
  absl::flat_hash_map<TopicId, std::deque<Ref<Batch>>> topics_ GUARDED_BY(mu_);
  // Which topic's oldest batch goes next; entries whose batch was dropped already are passed over.
  std::deque<std::pair<TopicId, Offset>> order_ GUARDED_BY(mu_);
};

}  // namespace sluice
