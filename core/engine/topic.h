// One topic: takes batches in, hands them to its subscriptions, lets go of what nobody needs.
//
//   topic->Publish(batch, [](absl::StatusOr<Published> published) {...});
//
// A message is kept until every subscription has acknowledged it, or its retention ends. While
// there is no subscription, or only ephemeral ones, new messages are kept for the first one to
// come, unless the topic discards them; what was there when the last subscription was deleted is
// not.
//
// Thread rule: every public member may be called from any thread. Lock order: docs/adr/0005.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/base/on_demand.h"
#include "core/engine/config.h"
#include "core/engine/context.h"
#include "core/engine/producer_gate.h"
#include "core/engine/time_index.h"
#include "core/engine/topic_expiry.h"
#include "core/engine/topic_members.h"
#include "core/message/batch.h"
#include "core/storage/backend.h"

namespace sluice {

class Subscription;

// Where a batch was stored: ids first to first + count - 1.
struct Published {
  Offset first;
  uint32_t count = 0;
  // When it became durable, in microseconds since 1970; 0 for a batch that came again.
  int64_t durable_us = 0;
};

// Why messages are stored; together they are all that is.
struct RetainedMessages {
  // A subscription has not acknowledged them, or an ephemeral stream has not got to them.
  uint64_t backlog = 0;
  // A snapshot has not, and every subscription has.
  uint64_t snapshot = 0;
  // Published while there was no subscription.
  uint64_t no_subscription = 0;
  // Everybody has acknowledged them: an acked retention keeps them, or they are about to go.
  uint64_t acked = 0;
};

struct TopicStats {
  LogExtent extent;
  RetainedMessages retained;
  uint64_t published_messages = 0;
  uint64_t published_bytes = 0;
  int32_t subscriptions = 0;
};

class Topic : public std::enable_shared_from_this<Topic> {
 public:
  using PublishDone = std::function<void(absl::StatusOr<Published>)>;
  using SubscriptionList = TopicMembers::List;

  Topic(std::shared_ptr<EngineContext> context, TopicId id, TopicConfig config);

  // The callback comes when the batch is durable, in the order of the calls, and before a consumer
  // has it. Errors: NOT_FOUND once deleted, UNAVAILABLE (CIRCUIT_OPEN while the store fails or
  // hangs), RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED (batch->deadline()); nothing is stored then. A
  // batch with a producer tag that was stored before gets its first answer again;
  // FAILED_PRECONDITION: PRODUCER_FENCED, SEQUENCE_TOO_OLD.
  void Publish(Ref<Batch> batch, PublishDone done) EXCLUDES(mu_);

  // The same for messages of another topic, which `source` acknowledges in the same step.
  void Bury(Ref<Batch> batch, std::shared_ptr<Cursor> source, std::vector<OffsetRange> offsets,
            PublishDone done) EXCLUDES(mu_);

  TopicConfig config() const EXCLUDES(mu_);
  TopicStats stats() const EXCLUDES(mu_);

  // The rest is for the engine and its subscriptions.

  TopicId id() const { return id_; }
  TopicLog& log() const { return *log_; }
  // One past the last message that is durable.
  Offset durable_end() const { return durable_end_.load(std::memory_order_acquire); }
  // Microseconds; 0 when messages do not expire by themselves.
  int64_t message_ttl_us() const { return message_ttl_us_.load(std::memory_order_relaxed); }
  std::optional<int64_t> PublishTimeOf(Offset offset) const EXCLUDES(mu_);
  TopicExpiry& expiry();
  // What the log holds may expire: it is looked through. Called once, after a start.
  void ScanForExpiry();
  // What some subscription may deliver lies from here on.
  Offset BacklogFrom() const EXCLUDES(mu_);

  // Learns from the log when its oldest message was published.
  void SeedTimes() EXCLUDES(mu_);

  void SetConfig(TopicConfig config) EXCLUDES(mu_);
  // Frees nothing: while a store is opened, others are yet to come that need what this one does
  // not.
  void Add(const std::shared_ptr<Subscription>& subscription) EXCLUDES(mu_);
  void Remove(const Subscription* subscription) EXCLUDES(mu_);
  // The list as it is now: hold on to it while going through it.
  std::shared_ptr<const SubscriptionList> subscriptions() const EXCLUDES(mu_);

  // No more publishes; SetDeleted(false) takes it back.
  bool deleted() const { return deleted_.load(std::memory_order_acquire); }
  void SetDeleted(bool deleted) { deleted_.store(deleted, std::memory_order_release); }

  // A subscription's consumers or configuration changed.
  void Refresh(const Subscription* subscription) EXCLUDES(mu_);
  // A subscription's floor rose from `old_floor`: frees what nobody needs any more.
  void FloorMoved(Offset old_floor) EXCLUDES(mu_);
  // Nothing from `floor` on is freed until EndSeek: a subscription is about to seek there.
  void BeginSeek(Offset floor) EXCLUDES(mu_);
  void EndSeek(const Subscription* subscription, Offset floor) EXCLUDES(mu_);
  // Frees what every subscription has acknowledged, unless it is kept for its time.
  void FreeAcked() EXCLUDES(mu_);
  // Lets go of what its retention no longer covers. Called from time to time.
  void EnforceRetention() EXCLUDES(mu_);

 private:
  void Store(Ref<Batch> batch, PublishDone done) EXCLUDES(mu_);
  void StoreOnce(Ref<Batch> batch, PublishDone done) EXCLUDES(mu_);
  absl::Status CheckDelay(const Batch& batch) const;
  // Whether the topic and the store's breaker take it; the callback then has to be used, and until
  // then the gate is held.
  absl::StatusOr<CircuitBreaker::Call> BeginPublish(const Ref<Batch>& batch) EXCLUDES(mu_);
  StoreDone PublishEnd(const Ref<Batch>& batch, const CircuitBreaker::Call& call, PublishDone done);
  // Tells the subscriptions, then the publisher, then lets it be delivered.
  void OnAppended(const Ref<Batch>& batch, const Clock::Times& now, const PublishDone& done)
      EXCLUDES(mu_);
  void RevisitExpired(Offset from) const;
  void EnforceRetentionBytes(int64_t limit) EXCLUDES(mu_);
  // Calls found(before) when there are messages from `from` on that are older than `age`: those
  // below `before`.
  void FindOlder(absl::Duration age, Offset from, std::function<void(Offset)> found) EXCLUDES(mu_);
  // Those of subscriptions that keep their messages for a shorter time.
  void EnforceSubscriptionRetention(absl::Duration longest) EXCLUDES(mu_);
  // Messages below `before` go, acknowledged or not; those not acknowledged are counted in
  // `dropped`.
  void DropBefore(Offset before, Counter& dropped) EXCLUDES(mu_);
  void TrimTo(Offset floor) EXCLUDES(mu_);
  // The two halves of it. The first returns whether there is something to be done.
  bool NoteTrimmed(Offset floor) REQUIRES(mu_);
  void DropTrimmed(Offset floor) EXCLUDES(mu_);
  // Everything below is acknowledged by everybody who counts.
  Offset NeededFrom() REQUIRES(mu_);
  // Without a subscription, messages from `unclaimed` on wait for one.
  static RetainedMessages Retained(const LogExtent& extent, const SubscriptionList& subscriptions,
                                   Offset unclaimed);
  // The longest that this topic or one of its subscriptions wants acknowledged messages kept.
  absl::Duration AckedRetention() const REQUIRES(mu_);
  void AckedRetentionChanged() EXCLUDES(mu_);
  void TrimAcked() EXCLUDES(mu_);

  const std::shared_ptr<EngineContext> context_;
  const TopicId id_;
  const std::shared_ptr<TopicLog> log_;

  std::atomic<Offset> durable_end_;
  std::atomic<bool> deleted_;
  std::atomic<int64_t> retention_bytes_;
  std::atomic<int64_t> message_ttl_us_;
  std::atomic<int64_t> max_delay_us_;
  std::atomic<bool> keeps_acked_;
  ProducerGate producers_;
  // From the first message on that expires.
  OnDemand<TopicExpiry> expiry_;

  mutable Mutex mu_{LockRank::kTopic};
  TopicConfig config_ GUARDED_BY(mu_);
  TimeIndex times_ GUARDED_BY(mu_);
  Offset trimmed_ GUARDED_BY(mu_);
  uint64_t published_messages_ GUARDED_BY(mu_) = 0;
  uint64_t published_bytes_ GUARDED_BY(mu_) = 0;
  mutable TopicMembers members_ GUARDED_BY(mu_);
  // Without a subscription, messages from here on are kept for the first one to come.
  Offset unclaimed_from_ GUARDED_BY(mu_);
  // Where subscriptions are seeking to.
  std::multiset<Offset> seeks_ GUARDED_BY(mu_);
  // The lowest floor when it was looked at last: one that was higher then does not hold the log.
  std::atomic<Offset> lowest_floor_;
};

}  // namespace sluice
