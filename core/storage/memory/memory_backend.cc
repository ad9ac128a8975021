#include "core/storage/memory/memory_backend.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/storage/memory/result_thread.h"
#include "fmt/format.h"

namespace sluice {

namespace {

absl::Status ClosedError() {
  return Error(Reason::kStorageUnavailable, "the memory store is closed");
}

absl::Status FullError(uint64_t limit) {
  return Error(Reason::kStorageFull,
               fmt::format("the memory store would hold more than {} bytes", limit),
               {{"limit", std::to_string(limit)}});
}

// A log, until the backend that opened it is closed.
class OpenedLog final : public TopicLog {
 public:
  OpenedLog(std::shared_ptr<Gate> gate, std::shared_ptr<MemoryLog> log, const Clock& clock,
            std::shared_ptr<ResultThread> results)
      : gate_(std::move(gate)), log_(std::move(log)), clock_(clock), results_(std::move(results)) {}

  LogExtent extent() const override { return log_->extent(); }
  absl::StatusOr<std::optional<OffsetRange>> FindProduced(const ProducerTag& tag) const override {
    return log_->FindProduced(tag);
  }
  void Append(Ref<Batch> batch, StoreDone done) override {
    Gate::Pass pass(*gate_);
    if (!pass) return done(ClosedError());
    if (absl::Status status = batch->CheckDeadline(clock_); !status.ok()) return done(status);
    log_->Append(std::move(batch), std::move(done), results_.get());
  }
  // What is in memory does not survive a crash: one after the other is one step.
  void AppendAndAck(Ref<Batch> batch, std::shared_ptr<Cursor> source,
                    std::vector<OffsetRange> ranges, StoreDone done) override {
    Append(std::move(batch), [source = std::move(source), ranges = std::move(ranges),
                              done = std::move(done)](const absl::Status& status) {
      if (status.ok()) source->Ack(ranges, nullptr);
      done(status);
    });
  }
  void Read(Offset from, size_t max_bytes, ReadDone done) override {
    Gate::Pass pass(*gate_);
    if (!pass) return done(ClosedError());
    log_->Read(from, max_bytes, done);
  }
  void OffsetAt(absl::Time time, OffsetDone done) override {
    Gate::Pass pass(*gate_);
    if (!pass) return done(ClosedError());
    log_->OffsetAt(time, done);
  }
  // Here and below: what has no callback need not be waited for by Close.
  void Trim(Offset before) override {
    if (!gate_->closed()) log_->Trim(before);
  }

 private:
  const std::shared_ptr<Gate> gate_;
  const std::shared_ptr<MemoryLog> log_;
  const Clock& clock_;
  const std::shared_ptr<ResultThread> results_;
};

// A cursor, until the backend that opened it is closed.
class OpenedCursor final : public Cursor {
 public:
  OpenedCursor(std::shared_ptr<Gate> gate, std::shared_ptr<MemoryCursor> cursor)
      : gate_(std::move(gate)), cursor_(std::move(cursor)) {}

  CursorState state() const override { return cursor_->state(); }
  void Ack(absl::Span<const OffsetRange> ranges, StoreDone done) override {
    if (!done) {
      if (!gate_->closed()) cursor_->Ack(ranges, nullptr);
      return;
    }
    Gate::Pass pass(*gate_);
    if (!pass) return done(ClosedError());
    cursor_->Ack(ranges, std::move(done));
  }
  void Failed(OffsetRange range, uint32_t failures) override {
    if (!gate_->closed()) cursor_->Failed(range, failures);
  }
  void Leased(absl::Span<const SavedLease> leases) override {
    if (!gate_->closed()) cursor_->Leased(leases);
  }
  void Seek(CursorState state, StoreDone done) override {
    Gate::Pass pass(*gate_);
    if (pass) return cursor_->Seek(std::move(state), std::move(done));
    if (done) done(ClosedError());
  }

 private:
  const std::shared_ptr<Gate> gate_;
  const std::shared_ptr<MemoryCursor> cursor_;
};

const Clock& MachineClock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace

MemoryBackend::MemoryBackend(std::shared_ptr<MemoryStore> store, const Clock* clock,
                             AppendResults results)
    : store_(std::move(store)),
      clock_(clock == nullptr ? MachineClock() : *clock),
      results_(results == AppendResults::kOwnThread ? std::make_shared<ResultThread>() : nullptr) {}

MemoryBackend::~MemoryBackend() { static_cast<void>(Close()); }

LogExtent MemoryLog::extent() const {
  MutexLock lock(mu_);
  return extent_;
}

absl::StatusOr<std::optional<OffsetRange>> MemoryLog::FindProduced(const ProducerTag& tag) const {
  MutexLock lock(mu_);
  return producers_.Find(tag);
}

void MemoryLog::Append(Ref<Batch> batch, StoreDone done, ResultThread* thread) {
  const uint64_t bytes = batch->record().size();
  MutexLock lock(mu_);
  if (removed_ || !TakeRoom(bytes)) {
    const bool removed = removed_;
    lock.Unlock();
    return done(removed ? Error(Reason::kTopicDeleted, "the topic was deleted")
                        : FullError(budget_->max_bytes()));
  }
  batch->set_first(extent_.next);
  extent_.next += batch->count();
  extent_.bytes += bytes;
  if (batch->producer() != nullptr)
    producers_.Add(*batch->producer(), {batch->first(), batch->end()});
  batches_.push_back(std::move(batch));
  const bool somebody_runs = std::exchange(running_results_, true);
  if (somebody_runs || thread != nullptr) {
    results_.push_back(std::move(done));
    lock.Unlock();
    return somebody_runs ? void() : thread->Run(shared_from_this());
  }
  lock.Unlock();
  done(absl::OkStatus());
  while (RunResults()) {
  }
}

bool MemoryLog::RunResults() {
  std::vector<StoreDone> results;
  {
    MutexLock lock(mu_);
    running_results_ = !results_.empty();
    results.swap(results_);
  }
  for (const StoreDone& done : results) done(absl::OkStatus());
  return !results.empty();
}

bool MemoryLog::TakeRoom(uint64_t bytes) {
  if (room_ < bytes) {
    const uint64_t lacking = bytes - room_;
    if (budget_->Take(lacking + budget_->step())) {
      room_ += lacking + budget_->step();
    } else if (budget_->Take(lacking)) {
      room_ += lacking;
    } else {
      return false;
    }
  }
  room_ -= bytes;
  return true;
}

void MemoryLog::GiveRoom(uint64_t bytes) {
  room_ += bytes;
  if (room_ <= 2 * budget_->step()) return;
  budget_->Give(room_ - budget_->step());
  room_ = budget_->step();
}

void MemoryLog::Read(Offset from, size_t max_bytes, const TopicLog::ReadDone& done) {
  std::vector<Ref<Batch>> read;
  {
    MutexLock lock(mu_);
    auto it =
        std::partition_point(batches_.begin(), batches_.end(),
                             [from](const Ref<Batch>& batch) { return batch->end() <= from; });
    size_t bytes = 0;
    for (; it != batches_.end(); ++it) {
      if (!read.empty() && (bytes += (*it)->record().size()) > max_bytes) break;
      read.push_back(*it);
    }
  }
  done(std::move(read));
}

void MemoryLog::OffsetAt(absl::Time time, const TopicLog::OffsetDone& done) {
  Offset found;
  {
    MutexLock lock(mu_);
    // Not a binary search: the wall clock may have been set back meanwhile.
    auto it = std::find_if(batches_.begin(), batches_.end(), [time](const Ref<Batch>& batch) {
      return batch->publish_time() >= time;
    });
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
    GiveRoom(bytes);
    batches_.pop_front();
  }
}

void MemoryLog::Remove() {
  MutexLock lock(mu_);
  removed_ = true;
  budget_->Give(extent_.bytes + std::exchange(room_, 0));
  extent_.bytes = 0;
  extent_.first = extent_.next;
  batches_.clear();
}

CursorState MemoryCursor::state() const {
  MutexLock lock(mu_);
  return state_;
}

void MemoryCursor::Ack(absl::Span<const OffsetRange> ranges, StoreDone done) {
  {
    MutexLock lock(mu_);
    for (const OffsetRange& range : ranges) state_.Ack(range);
  }
  if (done) done(absl::OkStatus());
}

void MemoryCursor::Failed(OffsetRange range, uint32_t failures) {
  MutexLock lock(mu_);
  state_.Fail(range, failures);
}

void MemoryCursor::Leased(absl::Span<const SavedLease> leases) {
  MutexLock lock(mu_);
  for (const SavedLease& lease : leases) state_.Lease(lease);
}

void MemoryCursor::Seek(CursorState state, StoreDone done) {
  {
    MutexLock lock(mu_);
    state_ = std::move(state);
  }
  if (done) done(absl::OkStatus());
}

Catalogue::Contents MemoryStore::Contents() const {
  MutexLock lock(mu_);
  Catalogue::Contents contents;
  for (const auto& [id, topic] : topics_) contents.topics.push_back({id, topic.config});
  for (const auto& [id, subscription] : subscriptions_)
    contents.subscriptions.push_back({id, subscription.config});
  return contents;
}

uint64_t MemoryStore::bytes() const {
  MutexLock lock(mu_);
  uint64_t bytes = 0;
  for (const auto& [id, topic] : topics_) bytes += topic.log->extent().bytes;
  return bytes;
}

void MemoryStore::PutTopic(TopicRecord record) {
  MutexLock lock(mu_);
  StoredTopic& topic = topics_[record.id];
  topic.config = std::move(record.config);
  if (topic.log == nullptr) topic.log = std::make_shared<MemoryLog>(budget_);
}

void MemoryStore::RemoveTopic(TopicId id) {
  std::shared_ptr<MemoryLog> log;
  {
    MutexLock lock(mu_);
    auto it = topics_.find(id);
    if (it == topics_.end()) return;
    log = std::move(it->second.log);
    topics_.erase(it);
  }
  log->Remove();
}

void MemoryStore::PutSubscription(SubscriptionRecord record, const CursorState* initial) {
  MutexLock lock(mu_);
  StoredSubscription& subscription = subscriptions_[record.id];
  subscription.config = std::move(record.config);
  if (initial != nullptr) subscription.cursor = std::make_shared<MemoryCursor>(*initial);
}

void MemoryStore::RemoveSubscription(SubscriptionId id) {
  MutexLock lock(mu_);
  subscriptions_.erase(id);
}

std::shared_ptr<MemoryLog> MemoryStore::Log(TopicId id) const {
  MutexLock lock(mu_);
  return topics_.at(id).log;
}

std::shared_ptr<MemoryCursor> MemoryStore::CursorOf(SubscriptionId id) const {
  MutexLock lock(mu_);
  return subscriptions_.at(id).cursor;
}

std::shared_ptr<TopicLog> MemoryBackend::OpenLog(TopicId id) {
  return std::make_shared<OpenedLog>(gate_, store_->Log(id), clock_, results_);
}

std::shared_ptr<Cursor> MemoryBackend::OpenCursor(SubscriptionId id) {
  return std::make_shared<OpenedCursor>(gate_, store_->CursorOf(id));
}

BackendStats MemoryBackend::stats() const {
  BackendStats stats;
  stats.memory_bytes = store_->bytes();
  stats.writable = stats.memory_bytes < store_->max_bytes();
  return stats;
}

absl::Status MemoryBackend::Close() {
  gate_->Close();
  gate_->WaitEmpty(absl::InfiniteDuration());
  if (results_ != nullptr) results_->Stop();
  return absl::OkStatus();
}

void MemoryBackend::PutTopic(TopicRecord record, StoreDone done) {
  Gate::Pass pass(*gate_);
  if (!pass) return done(ClosedError());
  store_->PutTopic(std::move(record));
  done(absl::OkStatus());
}

void MemoryBackend::RemoveTopic(TopicId id, StoreDone done) {
  Gate::Pass pass(*gate_);
  if (!pass) return done(ClosedError());
  store_->RemoveTopic(id);
  done(absl::OkStatus());
}

void MemoryBackend::PutSubscription(SubscriptionRecord record, const CursorState* initial,
                                    StoreDone done) {
  Gate::Pass pass(*gate_);
  if (!pass) return done(ClosedError());
  store_->PutSubscription(std::move(record), initial);
  done(absl::OkStatus());
}

void MemoryBackend::RemoveSubscription(SubscriptionId id, StoreDone done) {
  Gate::Pass pass(*gate_);
  if (!pass) return done(ClosedError());
  store_->RemoveSubscription(id);
  done(absl::OkStatus());
}

}  // namespace sluice
