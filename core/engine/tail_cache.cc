#include "core/engine/tail_cache.h"

#include <algorithm>
#include <utility>

namespace sluice {

void TailCache::Insert(TopicId topic, Ref<Batch> batch) {
  const size_t bytes = batch->memory_bytes();
  if (bytes > limit_) return;
  MutexLock lock(mu_);
  EvictDownTo(limit_ - bytes);
  if (!ledger_.TakeFree(MemoryPart::kTailCache, bytes)) {
    EvictDownTo(bytes_ - std::min(bytes_, bytes));
    if (!ledger_.TakeFree(MemoryPart::kTailCache, bytes)) return;
  }
  std::deque<Ref<Batch>>& batches = topics_[topic];
  // A hole would be taken for trimmed messages: what is here is always one stretch.
  if (!batches.empty() && batches.back()->end() != batch->first()) {
    while (!batches.empty()) PopFront(&batches);
  }
  order_.emplace_back(topic, batch->first());
  batches.push_back(std::move(batch));
  bytes_ += bytes;
  ++count_;
  CompactOrder();
}

TailCache::~TailCache() { Shrink(SIZE_MAX); }

void TailCache::Shrink(size_t bytes) {
  MutexLock lock(mu_);
  EvictDownTo(bytes_ - std::min(bytes_, bytes));
}

void TailCache::EvictDownTo(size_t bytes) {
  while (bytes_ > bytes) EvictOldest();
}

void TailCache::PopFront(std::deque<Ref<Batch>>* batches) {
  bytes_ -= batches->front()->memory_bytes();
  ledger_.Give(MemoryPart::kTailCache, batches->front()->memory_bytes());
  batches->pop_front();
  --count_;
}

// Entries of dropped batches must not pile up while the cache is never full.
void TailCache::CompactOrder() {
  constexpr size_t kSlack = 1024;
  if (order_.size() <= 2 * count_ + kSlack) return;
  std::erase_if(order_, [this](const auto& entry) REQUIRES(mu_) {
    auto it = topics_.find(entry.first);
    return it == topics_.end() || it->second.front()->first() > entry.second;
  });
}

void TailCache::EvictOldest() {
  const auto [topic, first] = order_.front();
  order_.pop_front();
  auto it = topics_.find(topic);
  if (it == topics_.end() || it->second.empty() || it->second.front()->first() != first) return;
  PopFront(&it->second);
  if (it->second.empty()) topics_.erase(it);
}

std::vector<Ref<Batch>> TailCache::Find(TopicId topic, Offset from, size_t max_bytes) const {
  std::vector<Ref<Batch>> found;
  MutexLock lock(mu_);
  auto topic_it = topics_.find(topic);
  if (topic_it == topics_.end()) return found;
  const std::deque<Ref<Batch>>& batches = topic_it->second;
  auto it = std::partition_point(batches.begin(), batches.end(),
                                 [from](const Ref<Batch>& batch) { return batch->end() <= from; });
  if (it == batches.end() || (*it)->first() > from) return found;
  size_t bytes = 0;
  for (; it != batches.end() && (found.empty() || bytes + (*it)->memory_bytes() <= max_bytes);
       ++it) {
    if (!found.empty()) bytes += (*it)->memory_bytes();
    found.push_back(*it);
  }
  return found;
}

void TailCache::DropBefore(TopicId topic, Offset before) {
  // Where consumers keep up, nothing is ever here.
  if (count_ == 0) return;
  MutexLock lock(mu_);
  auto it = topics_.find(topic);
  if (it == topics_.end()) return;
  while (!it->second.empty() && it->second.front()->end() <= before) PopFront(&it->second);
  if (it->second.empty()) topics_.erase(it);
}

}  // namespace sluice
