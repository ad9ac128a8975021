// A store in memory: for tests, and for programs that want the engine without a disk. What it holds
// is bounded in bytes; beyond that appends are refused with STORAGE_FULL.
//
//   auto store = std::make_shared<MemoryStore>();
//   auto engine = Engine::Open(std::make_unique<MemoryBackend>(store, options), clock, metrics);
//
// The content lives in the MemoryStore, so that a test can close one backend and open another over
// the same content. Calls after Close() are answered with STORAGE_UNAVAILABLE.
//
// Thread rule: as storage/backend.h says. Everything happens in the calling thread; results of
// concurrent appends to one topic are run by one of the callers, in order, or all of them by a
// thread of the backend (AppendResults). Close() waits for the calls that are running, so it is not
// to be called from a callback.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/gate.h"
#include "core/base/mutex.h"
#include "core/base/queue.h"
#include "core/storage/backend.h"

namespace sluice {

// The bytes that all logs of a store hold together, and how many they may. A log takes `step` more
// than it needs and keeps as much of what it could give back, so that logs do not fight over each
// message. Guards itself.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // So little that 10,000 idle logs keep no more than some percent of what is usual.
  uint64_t step() const { return std::min<uint64_t>(4096, max_bytes_ / 1024); }

  // False, and nothing is taken, when there is not as much left.
  bool Take(uint64_t bytes) {
    if (bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= max_bytes_) return true;
    Give(bytes);
    return false;
  }
  void Give(uint64_t bytes) { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t max_bytes() const { return max_bytes_; }

 private:
  const uint64_t max_bytes_;
  std::atomic<uint64_t> bytes_{0};
};

// Which thread runs the results of appends.
enum class AppendResults : uint8_t {
  // The one that appends: fastest within one process.
  kInline,
  // One of the backend. A server needs it: gRPC sends the answer of a unary call only once its
  // handler has returned, and by then an inline result would have delivered the message.
  kOwnThread,
};

class ResultThread;

class MemoryLog : public std::enable_shared_from_this<MemoryLog> {
 public:
  explicit MemoryLog(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}
  ~MemoryLog() { Remove(); }

  // As TopicLog has them.
  LogExtent extent() const EXCLUDES(mu_);
  absl::StatusOr<std::optional<OffsetRange>> FindProduced(const ProducerTag& tag) const
      EXCLUDES(mu_);
  // The result is run by that thread, or by this one without it.
  void Append(Ref<Batch> batch, StoreDone done, ResultThread* thread) EXCLUDES(mu_);
  // Runs the waiting results in order. False when there were none; the next append then runs its
  // result again. Only for the thread to which Append leaves it.
  bool RunResults() EXCLUDES(mu_);
  void Read(Offset from, size_t max_bytes, const TopicLog::ReadDone& done) EXCLUDES(mu_);
  void OffsetAt(absl::Time time, const TopicLog::OffsetDone& done) EXCLUDES(mu_);
  void Trim(Offset before) EXCLUDES(mu_);
  // The topic is gone: frees everything, whoever still holds the log. Appends are refused from here
  // on.
  void Remove() EXCLUDES(mu_);

 private:
  // Room for so many bytes, from what was taken before if it is enough.
  bool TakeRoom(uint64_t bytes) REQUIRES(mu_);
  void GiveRoom(uint64_t bytes) REQUIRES(mu_);

  const std::shared_ptr<MemoryBudget> budget_;

  mutable Mutex mu_;
  // Taken from the budget and not used.
  uint64_t room_ GUARDED_BY(mu_) = 0;
  Queue<Ref<Batch>> batches_ GUARDED_BY(mu_);
  ProducerWindows producers_ GUARDED_BY(mu_);
  // `first` may lie within the front batch.
  LogExtent extent_ GUARDED_BY(mu_);
  // Results not run yet, while somebody runs those before them. Bounded by what publishers have
  // under way.
  std::vector<StoreDone> results_ GUARDED_BY(mu_);
  bool running_results_ GUARDED_BY(mu_) = false;
  bool removed_ GUARDED_BY(mu_) = false;
};

class MemoryCursor final : public Cursor {
 public:
  explicit MemoryCursor(CursorState state) : state_(std::move(state)) {}

  CursorState state() const override EXCLUDES(mu_);
  void Ack(absl::Span<const OffsetRange> ranges, StoreDone done) override EXCLUDES(mu_);
  void Failed(OffsetRange range, uint32_t failures) override EXCLUDES(mu_);
  void Leased(absl::Span<const SavedLease> leases) override EXCLUDES(mu_);
  void Seek(CursorState state, StoreDone done) override EXCLUDES(mu_);

 private:
  mutable Mutex mu_;
  CursorState state_ GUARDED_BY(mu_);
};

// What the store holds. Guards itself.
class MemoryStore {
 public:
  static constexpr uint64_t kDefaultMaxBytes = uint64_t{1} << 30;

  explicit MemoryStore(uint64_t max_bytes = kDefaultMaxBytes)
      : budget_(std::make_shared<MemoryBudget>(max_bytes)) {}

  Catalogue::Contents Contents() const EXCLUDES(mu_);
  uint64_t NewId() { return next_id_.fetch_add(1, std::memory_order_relaxed); }
  void PutTopic(TopicRecord record) EXCLUDES(mu_);
  void RemoveTopic(TopicId id) EXCLUDES(mu_);
  void PutSubscription(SubscriptionRecord record, const CursorState* initial) EXCLUDES(mu_);
  void RemoveSubscription(SubscriptionId id) EXCLUDES(mu_);

  // REQUIRES: it exists.
  std::shared_ptr<MemoryLog> Log(TopicId id) const EXCLUDES(mu_);
  std::shared_ptr<MemoryCursor> CursorOf(SubscriptionId id) const EXCLUDES(mu_);
  // Of all messages.
  uint64_t bytes() const EXCLUDES(mu_);
  uint64_t max_bytes() const { return budget_->max_bytes(); }

 private:
  struct StoredTopic {
    std::string config;
    std::shared_ptr<MemoryLog> log;
  };
  struct StoredSubscription {
    std::string config;
    std::shared_ptr<MemoryCursor> cursor;
  };

  const std::shared_ptr<MemoryBudget> budget_;
  std::atomic<uint64_t> next_id_{1};

  mutable Mutex mu_;
  std::map<TopicId, StoredTopic> topics_ GUARDED_BY(mu_);
  std::map<SubscriptionId, StoredSubscription> subscriptions_ GUARDED_BY(mu_);
};

// A store as one engine sees it, from when it is opened to Close().
class MemoryBackend final : public Backend, private Catalogue {
 public:
  // The clock that batches' deadlines are compared with, longer lived than its logs; null for the
  // machine's own.
  explicit MemoryBackend(std::shared_ptr<MemoryStore> store = std::make_shared<MemoryStore>(),
                         const Clock* clock = nullptr,
                         AppendResults results = AppendResults::kInline);
  ~MemoryBackend() override;

  Catalogue& catalogue() override { return *this; }
  std::shared_ptr<TopicLog> OpenLog(TopicId id) override;
  std::shared_ptr<Cursor> OpenCursor(SubscriptionId id) override;
  BackendStats stats() const override;
  absl::Status Close() override;
  std::string_view durability() const override { return "memory"; }

 private:
  absl::StatusOr<Contents> Load() override { return store_->Contents(); }
  uint64_t NewId() override { return store_->NewId(); }
  void PutTopic(TopicRecord record, StoreDone done) override;
  void RemoveTopic(TopicId id, StoreDone done) override;
  void PutSubscription(SubscriptionRecord record, const CursorState* initial,
                       StoreDone done) override;
  void RemoveSubscription(SubscriptionId id, StoreDone done) override;

  const std::shared_ptr<MemoryStore> store_;
  const Clock& clock_;
  // Every call passes it, so that Close() can shut and empty it; logs and cursors may outlive the
  // backend.
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  // Null when results are run inline. Logs share it.
  const std::shared_ptr<ResultThread> results_;
};

}  // namespace sluice
