// One subscription: who has leased what, what waits to be delivered again, how far everyone got.
//
//   auto id = subscription->Attach(consumer, {.client_id = "billing"});
//   subscription->Grant(*id, 1000, Subscription::kNoByteLimit);     // consumer->Deliver(...) begins
//   subscription->Ack(*id, {{first, last}});
//   subscription->Detach(*id);                                      // what it held becomes available at once
//
// A message goes through: available -> leased -> acknowledged, or -> released (nack, deadline, consumer gone) ->
// available again. At most one lease per message lives at a time.
//
// New messages are taken in offset order at `next_`, released ones before them. One thread at a time moves messages
// out ("pumps"), so that a consumer sees them in the order in which they were leased; whoever comes meanwhile leaves a
// note. subscription.cc has what clients say, subscription_pump.cc what goes out.
//
// Thread rule: every public member may be called from any thread. Lock order: docs/adr/0005.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/engine/config.h"
#include "core/engine/consumer.h"
#include "core/engine/context.h"
#include "core/engine/dead_letter.h"
#include "core/engine/lease_table.h"
#include "core/engine/ready_set.h"
#include "core/engine/topic.h"
#include "core/filter/filter.h"
#include "core/flow/token_bucket.h"
#include "core/storage/backend.h"

namespace sluice {

struct AttachOptions {
  // For statistics and logs.
  std::string client_id;
};

struct SubscriptionStats {
  int64_t backlog_messages = 0;
  // Estimated from the topic's mean size.
  int64_t backlog_bytes = 0;
  int64_t leased_messages = 0;
  // Microseconds since 1970, to about a second; absent without a backlog.
  std::optional<int64_t> oldest_unacked_publish_time_us;
  int32_t consumers = 0;
  // Since the engine was opened.
  uint64_t delivered_messages = 0;
  uint64_t acked_messages = 0;
  uint64_t nacked_messages = 0;
  uint64_t expired_leases = 0;
  uint64_t redelivered_messages = 0;
};

class Subscription : public std::enable_shared_from_this<Subscription> {
 public:
  // Credit without a limit in bytes.
  static constexpr int64_t kNoByteLimit = -1;
  static constexpr size_t kMaxConsumers = 10'000;
  // After nacks and expired leases; beyond that messages wait. What a consumer that went away held does not count.
  static constexpr double kRedeliveriesPerSecond = 10'000;

  // `cursor` is absent for an ephemeral subscription, which ends when its consumer detaches.
  Subscription(std::shared_ptr<EngineContext> context, SubscriptionId id, SubscriptionConfig config,
               std::shared_ptr<Topic> topic, std::shared_ptr<Cursor> cursor, const CursorState& state);

  // Fails with NOT_FOUND, FAILED_PRECONDITION (TOPIC_DELETED), RESOURCE_EXHAUSTED (TOO_MANY_CONSUMERS), DATA_LOSS,
  // UNAVAILABLE. Nothing is delivered before the first Grant.
  absl::StatusOr<ConsumerId> Attach(std::shared_ptr<Consumer> consumer, AttachOptions options) EXCLUDES(mu_);

  // More credit, or (where negative) less. With kNoByteLimit bytes are not counted for this consumer from then on. This
  // and the calls below do nothing for a consumer that is not attached.
  void Grant(ConsumerId consumer, int64_t messages, int64_t bytes) EXCLUDES(mu_);

  // Ids that this consumer does not hold are passed over. Returns how many leases were settled.
  uint64_t Ack(ConsumerId consumer, const std::vector<LeaseRange>& ranges) EXCLUDES(mu_);
  uint64_t Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay) EXCLUDES(mu_);
  // `deadline` counts from now.
  uint64_t Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline) EXCLUDES(mu_);

  // After this no Deliver begins; one that is running may still end.
  void Detach(ConsumerId consumer) EXCLUDES(mu_);

  SubscriptionConfig config() const EXCLUDES(mu_);
  SubscriptionStats stats() const EXCLUDES(mu_);

  // The rest is for the engine and the topic.

  SubscriptionId id() const { return id_; }
  bool ephemeral() const { return cursor_ == nullptr; }
  Offset floor() const { return floor_.load(std::memory_order_acquire); }
  void SetConfig(SubscriptionConfig config) EXCLUDES(mu_);

  // A batch became durable. Called in offset order. Returns whether everything up to its end is delivered.
  bool OnAppended(const Ref<Batch>& batch) EXCLUDES(mu_);

  // The log holds more than this subscription was told of.
  void OnEndMoved(Offset end) EXCLUDES(mu_);

  // Messages below `before` are gone; returns how many of them were not acknowledged.
  uint64_t DropBefore(Offset before) EXCLUDES(mu_);

  // The topic does not wait for this subscription any more.
  void LeaveTopic() EXCLUDES(mu_);

  // Ends every consumer; Attach fails with `why` from now on. Lets go of the topic.
  void End(const absl::Status& why) EXCLUDES(mu_);

 private:
  struct ConsumerState {
    ConsumerId id;
    std::shared_ptr<Consumer> consumer;
    std::string client_id;
    int64_t message_credit = 0;
    int64_t byte_credit = 0;
    bool counts_bytes = true;

    bool has_credit() const { return message_credit > 0 && (!counts_bytes || byte_credit > 0); }
  };

  // What clients say (subscription.cc).
  ConsumerState* FindConsumer(ConsumerId id) REQUIRES(mu_);
  void Recover(const CursorState& state) REQUIRES(mu_);
  // `delay` is what a nack asks for; without one the retry policy decides.
  void Release(const Lease& lease, ReleaseCause cause, absl::Duration delay) REQUIRES(mu_);
  // The same as a function, for the lease table to call under our lock.
  auto Releasing(ReleaseCause cause, absl::Duration delay = absl::ZeroDuration()) {
    return [this, cause, delay](const Lease& lease) {
      mu_.AssertHeld();
      Release(lease, cause, delay);
    };
  }
  // What of these offsets is not settled may be delivered again from `when` on; Instant() for at once.
  void MakeAvailable(OffsetRange offsets, uint32_t attempts, Instant when) REQUIRES(mu_);
  bool AttemptsUsedUp(uint32_t attempts) const REQUIRES(mu_);
  uint64_t MarkAcked(OffsetRange range) REQUIRES(mu_);
  // Tells the cursor and the topic of what MarkAcked settled.
  void TellAcked(absl::Span<const OffsetRange> acked, Offset old_floor, const std::shared_ptr<Topic>& topic);
  absl::Status NotAvailable() const REQUIRES(mu_);

  // What goes out (subscription_pump.cc).
  void Pump() EXCLUDES(mu_);
  void NoteDelivery(Offset delivered_end) const;
  std::shared_ptr<Consumer> Collect() REQUIRES(mu_);
  ConsumerState* NextConsumer() REQUIRES(mu_);
  bool LeaseReady(ConsumerState* consumer, Instant now) REQUIRES(mu_);
  bool LeaseFresh(ConsumerState* consumer, Instant now) REQUIRES(mu_);
  uint32_t LeaseRun(ConsumerState* consumer, const Ref<Batch>& batch, Offset from, uint64_t most, uint32_t attempt,
                    Instant now) REQUIRES(mu_);
  // Passes over what the filter leaves out, from next_ to the end of the batch at the most.
  void SkipFiltered(const Ref<Batch>& batch) REQUIRES(mu_);
  // Messages from `from` on that match, one after the other, `most` at the most. REQUIRES: the first does.
  uint64_t MatchingRun(const Ref<Batch>& batch, Offset from, int64_t most) const;
  void TellSkipped() EXCLUDES(mu_);
  Ref<Batch> FreshBatch() REQUIRES(mu_);
  Ref<Batch> ReadyBatch(Offset offset) REQUIRES(mu_);
  void StartRead(Offset from) EXCLUDES(mu_);
  void OnRead(Offset from, absl::StatusOr<std::vector<Ref<Batch>>> read) EXCLUDES(mu_);
  // Those whose attempts are used up (subscription_dead_letter.cc).
  void ScheduleBurial() REQUIRES(mu_);
  void BuryNext() EXCLUDES(mu_);
  void Bury(Condemned condemned, const absl::StatusOr<std::vector<Ref<Batch>>>& read) EXCLUDES(mu_);
  void Buried(const Condemned& condemned, const absl::Status& status) EXCLUDES(mu_);
  void ArmTimer() REQUIRES(mu_);
  void OnTimer() EXCLUDES(mu_);

  const std::shared_ptr<EngineContext> context_;
  const SubscriptionId id_;
  const std::shared_ptr<Cursor> cursor_;
  const Filter filter_;

  std::atomic<Offset> floor_;

  // Belongs to the thread that pumps.
  std::vector<Delivery> outgoing_;

  mutable Mutex mu_{LockRank::kSubscription};
  SubscriptionConfig config_ GUARDED_BY(mu_);
  std::shared_ptr<Topic> topic_ GUARDED_BY(mu_);
  absl::Status ended_ GUARDED_BY(mu_);

  std::vector<ConsumerState> consumers_ GUARDED_BY(mu_);
  size_t turn_ GUARDED_BY(mu_) = 0;
  ConsumerId next_consumer_ GUARDED_BY(mu_){1};

  AckSet acked_ GUARDED_BY(mu_);
  LeaseTable leases_ GUARDED_BY(mu_);
  ReadySet ready_ GUARDED_BY(mu_);
  TokenBucket redeliveries_ GUARDED_BY(mu_){kRedeliveriesPerSecond, kRedeliveriesPerSecond};
  std::deque<Condemned> condemned_ GUARDED_BY(mu_);
  bool burying_ GUARDED_BY(mu_) = false;
  // The first offset never leased, and one past the last durable one.
  Offset next_ GUARDED_BY(mu_);
  Offset end_ GUARDED_BY(mu_);
  // Batches at hand from next_ on, in one stretch; and the last one read for a redelivery.
  std::deque<Ref<Batch>> window_ GUARDED_BY(mu_);
  size_t window_bytes_ GUARDED_BY(mu_) = 0;
  Ref<Batch> held_ GUARDED_BY(mu_);
  // Left out by the filter and not told to the cursor yet, and the floor before.
  absl::InlinedVector<OffsetRange, 4> skipped_ GUARDED_BY(mu_);
  Offset floor_before_skips_ GUARDED_BY(mu_);

  bool pumping_ GUARDED_BY(mu_) = false;
  bool pump_again_ GUARDED_BY(mu_) = false;
  bool reading_ GUARDED_BY(mu_) = false;
  std::optional<Offset> wanted_ GUARDED_BY(mu_);
  Instant armed_ GUARDED_BY(mu_) = Instant::Never();

  uint64_t delivered_ GUARDED_BY(mu_) = 0;
  uint64_t settled_ GUARDED_BY(mu_) = 0;
  uint64_t nacked_ GUARDED_BY(mu_) = 0;
  uint64_t expired_ GUARDED_BY(mu_) = 0;
  uint64_t redelivered_ GUARDED_BY(mu_) = 0;
};

}  // namespace sluice
