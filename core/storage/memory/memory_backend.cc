#include "core/storage/memory/memory_backend.h"

#include <algorithm>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {

MemoryLog::~MemoryLog() {
  MutexLock lock(mu_);
  store_bytes_ -= extent_.bytes;
}

LogExtent MemoryLog::extent() const {
  MutexLock lock(mu_);
  return extent_;
}

void MemoryLog::Append(Ref<Batch> batch, StoreDone done) {
  const uint64_t bytes = batch->record().size();
  if (store_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes > max_store_bytes_) {
    store_bytes_ -= bytes;
    return done(Error(Reason::kStorageFull, fmt::format("the memory store holds {} bytes, its limit", max_store_bytes_),
                      {{"limit", std::to_string(max_store_bytes_)}}));
  }
  MutexLock lock(mu_);
  batch->set_first(extent_.next);
  extent_.next += batch->count();
  extent_.bytes += bytes;
  batches_.push_back(std::move(batch));
  if (completing_) {
    completed_.push_back(std::move(done));
    return;
  }
  completing_ = true;
  for (;;) {
    lock.Unlock();
    done(absl::OkStatus());
    lock.Lock();
    if (completed_.empty()) break;
    done = std::move(completed_.front());
    completed_.pop_front();
  }
  completing_ = false;
}

void MemoryLog::Read(Offset from, size_t max_bytes, ReadDone done) {
  std::vector<Ref<Batch>> read;
  {
    MutexLock lock(mu_);
    auto it = std::partition_point(batches_.begin(), batches_.end(),
                                   [from](const Ref<Batch>& batch) { return batch->end() <= from; });
    size_t bytes = 0;
    for (; it != batches_.end(); ++it) {
      if (!read.empty() && (bytes += (*it)->record().size()) > max_bytes) break;
      read.push_back(*it);
    }
  }
  done(std::move(read));
}

void MemoryLog::OffsetAt(absl::Time time, OffsetDone done) {
  Offset found;
  {
    MutexLock lock(mu_);
    // Not a binary search: the wall clock may have been set back meanwhile.
    auto it = std::find_if(batches_.begin(), batches_.end(),
                           [time](const Ref<Batch>& batch) { return batch->publish_time() >= time; });
    found = it == batches_.end() ? extent_.next : std::max((*it)->first(), extent_.first);
  }
  done(found);
}

void MemoryLog::Trim(Offset before) {
  MutexLock lock(mu_);
  before = std::min(before, extent_.next);
  extent_.first = std::max(extent_.first, before);
  while (!batches_.empty() && batches_.front()->end() <= before) {
    const uint64_t bytes = batches_.front()->record().size();
    extent_.bytes -= bytes;
    store_bytes_ -= bytes;
    batches_.pop_front();
  }
}

CursorState MemoryCursor::state() const {
  MutexLock lock(mu_);
  return state_;
}

void MemoryCursor::Ack(absl::Span<const OffsetRange> ranges, StoreDone done) {
  {
    MutexLock lock(mu_);
    for (const OffsetRange& range : ranges) {
      state_.acked.Add(range);
      if (state_.attempts.empty()) continue;
      state_.attempts.erase(state_.attempts.lower_bound(range.begin), state_.attempts.lower_bound(range.end));
    }
  }
  if (done) done(absl::OkStatus());
}

void MemoryCursor::Delivered(Offset end) {
  MutexLock lock(mu_);
  state_.delivered_end = std::max(state_.delivered_end, end);
}

void MemoryCursor::Redelivered(OffsetRange range, uint32_t attempts) {
  MutexLock lock(mu_);
  for (Offset offset = range.begin; offset < range.end; ++offset) {
    if (!state_.acked.Contains(offset)) state_.attempts[offset] = attempts;
  }
}

void MemoryCursor::Seek(CursorState state, StoreDone done) {
  {
    MutexLock lock(mu_);
    state_ = std::move(state);
  }
  if (done) done(absl::OkStatus());
}

absl::StatusOr<Catalogue::Contents> MemoryStore::Load() {
  MutexLock lock(mu_);
  Contents contents;
  for (const auto& [id, topic] : topics_) contents.topics.push_back({id, topic.config});
  for (const auto& [id, subscription] : subscriptions_) contents.subscriptions.push_back({id, subscription.config});
  return contents;
}

void MemoryStore::PutTopic(TopicRecord record, StoreDone done) {
  {
    MutexLock lock(mu_);
    StoredTopic& topic = topics_[record.id];
    topic.config = std::move(record.config);
    if (topic.log == nullptr) topic.log = std::make_shared<MemoryLog>(bytes_, max_bytes_);
  }
  done(absl::OkStatus());
}

void MemoryStore::RemoveTopic(TopicId id, StoreDone done) {
  {
    MutexLock lock(mu_);
    topics_.erase(id);
  }
  done(absl::OkStatus());
}

void MemoryStore::PutSubscription(SubscriptionRecord record, const CursorState* initial, StoreDone done) {
  {
    MutexLock lock(mu_);
    StoredSubscription& subscription = subscriptions_[record.id];
    subscription.config = std::move(record.config);
    if (initial != nullptr) subscription.cursor = std::make_shared<MemoryCursor>(*initial);
  }
  done(absl::OkStatus());
}

void MemoryStore::RemoveSubscription(SubscriptionId id, StoreDone done) {
  {
    MutexLock lock(mu_);
    subscriptions_.erase(id);
  }
  done(absl::OkStatus());
}

std::shared_ptr<MemoryLog> MemoryStore::Log(TopicId id) const {
  MutexLock lock(mu_);
  return topics_.at(id).log;
}

std::shared_ptr<MemoryCursor> MemoryStore::CursorOf(SubscriptionId id) const {
  MutexLock lock(mu_);
  return subscriptions_.at(id).cursor;
}

std::shared_ptr<TopicLog> MemoryBackend::OpenLog(TopicId id) { return store_->Log(id); }

std::shared_ptr<Cursor> MemoryBackend::OpenCursor(SubscriptionId id) { return store_->CursorOf(id); }

BackendStats MemoryBackend::stats() const {
  BackendStats stats;
  stats.memory_bytes = store_->bytes();
  stats.writable = store_->bytes() < store_->max_bytes();
  return stats;
}

}  // namespace sluice
