// What the engine needs of a store, as a few small interfaces: a catalogue of what exists, a log
// per topic, a cursor per subscription. `memory`, `local` and `jetstream` implement them;
// tests/conformance holds for each.
//
// Durable means: what the store's durability promises (design: fsync, os, or nothing for memory). A
// callback gets its result exactly once, on any thread, possibly before the call returns, and never
// with a lock of the store held; it must not block. After Close() no callback comes any more.
//
// Thread rule: every member may be called from any thread, for one topic or subscription also from
// several at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/base/callback.h"
#include "core/base/named_type.h"
#include "core/message/batch.h"
#include "core/storage/ack_set.h"
#include "core/storage/producer_windows.h"
#include "core/storage/saved_leases.h"

namespace sluice {

using StoreDone = Callback<void(absl::Status)>;

// A topic as the store keeps it. `config` is the engine's, opaque here.
struct TopicRecord {
  TopicId id;
  std::string config;
};

struct SubscriptionRecord {
  SubscriptionId id;
  std::string config;
};

// What is remembered of a subscription's progress.
struct CursorState {
  AckSet acked;
  // How many deliveries failed, of messages of which one did; gone once acknowledged. What is
  // merely out has not failed.
  std::map<Offset, uint32_t> failures;
  // Of what is out, what was told; gone with an acknowledgement or a failure. Some may have passed.
  SavedLeases leases = {};

  void Ack(OffsetRange range);
  // Deliveries of the messages of `range` failed this often by now. Never takes anything back, so
  // that it may be said twice.
  void Fail(OffsetRange range, uint32_t count);
  // Given, extended or over; of what is not acknowledged. Returns whether anything changed.
  bool Lease(const SavedLease& lease);
};

// What exists. Puts and removals are durable when their callback says OK, and are seen in that
// order after a restart.
class Catalogue {
 public:
  struct Contents {
    std::vector<TopicRecord> topics;
    std::vector<SubscriptionRecord> subscriptions;
  };

  virtual ~Catalogue() = default;

  virtual absl::StatusOr<Contents> Load() = 0;

  // A number never given before, also across restarts; serves topics and subscriptions alike.
  virtual uint64_t NewId() = 0;

  virtual void PutTopic(TopicRecord record, StoreDone done) = 0;
  // The topic's log goes with it.
  virtual void RemoveTopic(TopicId id, StoreDone done) = 0;
  // `initial` is the progress of a new subscription; absent when an existing one changes.
  virtual void PutSubscription(SubscriptionRecord record, const CursorState* initial,
                               StoreDone done) = 0;
  // The subscription's cursor goes with it.
  virtual void RemoveSubscription(SubscriptionId id, StoreDone done) = 0;
};

// What a log holds: offsets [first, next), `bytes` of records.
struct LogExtent {
  Offset first{1};
  Offset next{1};
  uint64_t bytes = 0;
};

class Cursor;

// The messages of one topic in the order of their offsets.
class TopicLog {
 public:
  using ReadDone = std::function<void(absl::StatusOr<std::vector<Ref<Batch>>>)>;
  using OffsetDone = std::function<void(absl::StatusOr<Offset>)>;

  virtual ~TopicLog() = default;

  virtual LogExtent extent() const = 0;

  // Gives the batch the next offsets and stores it. On OK it is durable, and batch->first() says
  // where. Results come in the order of the offsets. Errors: UNAVAILABLE, RESOURCE_EXHAUSTED
  // (STORAGE_FULL), FAILED_PRECONDITION (TOPIC_DELETED, after RemoveTopic), DEADLINE_EXCEEDED when
  // the batch's deadline passed before the write began; nothing is stored then. Once the write
  // began the deadline does not count any more.
  virtual void Append(Ref<Batch> batch, StoreDone done) = 0;

  // The same, and acknowledges `ranges` of `source`, a cursor of the same store, in one step: a
  // crash leaves all of it or nothing. REQUIRES: at least one range, none empty.
  virtual void AppendAndAck(Ref<Batch> batch, std::shared_ptr<Cursor> source,
                            std::vector<OffsetRange> ranges, StoreDone done) = 0;

  // Where a batch with this tag was appended; nothing for one that is new. FAILED_PRECONDITION:
  // PRODUCER_FENCED, SEQUENCE_TOO_OLD. A batch is known once its Append was answered, also after a
  // restart.
  virtual absl::StatusOr<std::optional<OffsetRange>> FindProduced(const ProducerTag& tag) const = 0;

  // Batches from the one that holds `from` (or the next one there is) on, in order, at least one if
  // there is any, no more than `max_bytes` of records beyond the first. Empty at the end. Batches
  // before a damaged one are read as ever; DATA_LOSS says that the first one is damaged, and with
  // it which others behind it (damage.h); a Read from their end on goes on. A DATA_LOSS without an
  // extent concerns the topic as a whole, for as long as it lasts.
  virtual void Read(Offset from, size_t max_bytes, ReadDone done) = 0;

  // The first offset published at `time` or later; extent().next when there is none.
  virtual void OffsetAt(absl::Time time, OffsetDone done) = 0;

  // Messages below `before` are not needed any more. Space comes back later, batches go whole.
  virtual void Trim(Offset before) = 0;
};

// The progress of one subscription.
class Cursor {
 public:
  virtual ~Cursor() = default;

  // As recovered when the store was opened, with all that was said since.
  virtual CursorState state() const = 0;

  // Acknowledges. Without a callback it is saved with the next commit, or soon; with one, at once.
  virtual void Ack(absl::Span<const OffsetRange> ranges, StoreDone done) = 0;

  // Deliveries of the messages of `range` failed this often by now; their leases are over. Saved
  // with the next commit, or soon.
  virtual void Failed(OffsetRange range, uint32_t failures) = 0;

  // Leases that are to outlive the engine: given, extended, or over without a failure. Saved with a
  // commit that others make, or within a second.
  virtual void Leased(absl::Span<const SavedLease> leases) = 0;

  // Begins anew from `state`.
  virtual void Seek(CursorState state, StoreDone done) = 0;
};

// What a store tells about itself; bytes.
struct BackendStats {
  uint64_t disk_bytes = 0;
  uint64_t disk_free_bytes = 0;
  uint64_t memory_bytes = 0;
  // False while appends are refused (full disk, ambiguous write error).
  bool writable = true;
  // Places in the log that could not be read, when the store was opened or since; each counts once.
  uint64_t damaged_stretches = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual Catalogue& catalogue() = 0;

  // REQUIRES: the catalogue holds it.
  virtual std::shared_ptr<TopicLog> OpenLog(TopicId id) = 0;
  virtual std::shared_ptr<Cursor> OpenCursor(SubscriptionId id) = 0;

  virtual BackendStats stats() const = 0;

  // Saves what is waiting, runs the callbacks that are due, takes no more calls. Called once.
  virtual absl::Status Close() = 0;

  // "memory", "fsync" or "os": what durable means.
  virtual std::string_view durability() const = 0;
};

}  // namespace sluice
