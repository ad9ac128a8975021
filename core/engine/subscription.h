// One subscription: who has leased what, what waits to be delivered again, how far everyone got.
//
//   auto id = subscription->Attach(consumer, {.client_id = "billing"});
//   subscription->Grant(*id, 1000, Subscription::kNoByteLimit);     // consumer->Deliver(...) begins
//   subscription->Ack(*id, {{first, last}});
//   subscription->Detach(*id);                                      // what it held becomes available at once
//
// A message goes through: available -> leased -> acknowledged, or -> released (nack, deadline,
// consumer gone) -> available again. At most one lease per message lives at a time. What is
// released has failed, unless it was returned: by a consumer that ended, or by the engine's end
// (docs/adr/0024).
//
// New messages are taken in offset order at `next_`, released ones before them. One thread at a
// time moves messages out ("pumps"), so that a consumer sees them in the order in which they were
// leased; whoever comes meanwhile leaves a note. What clients say is in subscription.cc, how leases
// fail in subscription_release.cc, what becomes of a message that is seen for the first time in
// subscription_fresh.cc, what goes out in subscription_pump.cc, seeks in subscription_seek.cc,
// messages that are damaged on the disk in subscription_damage.cc, what leases become over a
// restart in subscription_leases.cc.
//
// After a restart, and after a seek, everything from the floor on is looked at again as if it were
// new; `history_` knows how often its delivery failed before.
//
// Thread rule: every public member may be called from any thread. Lock order: docs/adr/0005.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/base/queue.h"
#include "core/engine/arrival.h"
#include "core/engine/attach_options.h"
#include "core/engine/config.h"
#include "core/engine/consumer.h"
#include "core/engine/consumer_state.h"
#include "core/engine/context.h"
#include "core/engine/damage_event.h"
#include "core/engine/dead_letter.h"
#include "core/engine/delivery_breaker.h"
#include "core/engine/ended_leases.h"
#include "core/engine/held_batches.h"
#include "core/engine/key_queues.h"
#include "core/engine/lease_answers.h"
#include "core/engine/lease_table.h"
#include "core/engine/offset_ranges.h"
#include "core/engine/ready_set.h"
#include "core/engine/restored_leases.h"
#include "core/engine/subscription_stats.h"
#include "core/engine/topic.h"
#include "core/filter/filter.h"
#include "core/flow/lease_quota.h"
#include "core/flow/token_bucket.h"
#include "core/storage/backend.h"

namespace sluice {

class Subscription : public std::enable_shared_from_this<Subscription> {
 public:
  // Credit without a limit in bytes.
  static constexpr int64_t kNoByteLimit = -1;
  static constexpr size_t kMaxConsumers = 10'000;
  // After nacks and expired leases; beyond that messages wait. What a consumer that went away held
  // does not count.
  static constexpr double kRedeliveriesPerSecond = 10'000;

  // `cursor` is absent for an ephemeral subscription, which ends when its consumer detaches.
  Subscription(std::shared_ptr<EngineContext> context, SubscriptionId id, SubscriptionConfig config,
               std::shared_ptr<Topic> topic, std::shared_ptr<Cursor> cursor,
               const CursorState& state);

  // Fails with NOT_FOUND, FAILED_PRECONDITION (TOPIC_DELETED, PUSH_SUBSCRIPTION),
  // RESOURCE_EXHAUSTED (TOO_MANY_CONSUMERS), UNAVAILABLE. Nothing is delivered before the first
  // Grant.
  absl::StatusOr<ConsumerId> Attach(std::shared_ptr<Consumer> consumer, AttachOptions options)
      EXCLUDES(mu_);

  // More credit, or (where negative) less. With kNoByteLimit bytes are not counted for this
  // consumer from then on. This and the calls below do nothing for a consumer that is not attached.
  void Grant(ConsumerId consumer, int64_t messages, int64_t bytes) EXCLUDES(mu_);

  // Ids that this consumer does not hold are passed over; kAnyone settles them whoever holds them.
  // Returns how many leases were settled.
  uint64_t Ack(ConsumerId consumer, const std::vector<LeaseRange>& ranges) EXCLUDES(mu_);
  uint64_t Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay) EXCLUDES(mu_);
  // The same as Ack, and says when it is durable; what the consumer does not hold is refused, not
  // passed over. For exactly-once delivery.
  using AckDone = std::function<void(AckOutcome)>;
  void AckConfirmed(ConsumerId consumer, const std::vector<LeaseRange>& ranges, AckDone done)
      EXCLUDES(mu_);
  // The same as Nack, for exactly-once delivery: returns those ids whose messages come again. A
  // message of an ordering key takes the later ones along: to nack those too, in the same call or a
  // later one, is confirmed.
  std::vector<LeaseRange> NackConfirmed(ConsumerId consumer, const std::vector<LeaseRange>& ranges,
                                        absl::Duration delay) EXCLUDES(mu_);
  // For the log: why what is said of this delivery is refused. Of an exactly-once subscription.
  std::string_view WhyOver(LeaseId lease, Offset offset) const EXCLUDES(mu_);
  // `deadline` counts from now.
  uint64_t Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline) EXCLUDES(mu_);

  // Gives leases back that were not used: their messages become available at once, and it is
  // neither a failure nor an attempt.
  void Return(const std::vector<Delivery>& deliveries) EXCLUDES(mu_);

  // Acknowledges messages whose leases are over, as far as they were not sought again since.
  // `before_restart` says that the leases are those of an engine before this one. Of an ordered
  // subscription only what is out again counts.
  void AckLate(const std::vector<LateAck>& late, bool before_restart) EXCLUDES(mu_);
  // For exactly-once delivery, of leases of an engine before this one: what was delivered by that
  // one and not by this is confirmed when durable; everything else is refused.
  void AckLateConfirmed(const std::vector<LateAck>& late, AckDone done) EXCLUDES(mu_);

  // The id here of a lease that an engine before this one gave and that held when this one was
  // opened; all calls know it by that. Nothing for other leases, and after a seek.
  std::optional<LeaseId> RestoredLease(uint32_t incarnation, LeaseId lease, Offset offset) const
      EXCLUDES(mu_);

  // `first` is the lease that an engine before this one gave of the first of these messages; the
  // others followed by one. Those that hold since then are the consumer's from now on.
  std::vector<TakenUp> TakeUp(ConsumerId consumer, uint32_t incarnation, LeaseId first,
                              OffsetRange offsets) EXCLUDES(mu_);

  // Whether nothing goes out at the moment, is being read, or is about to: a consumer that has
  // credit left gets nothing before something changes (a publish, a nack, a deadline, a lease that
  // ends).
  bool AtRest() const EXCLUDES(mu_);

  // For leases from now on.
  void SetAckDeadline(ConsumerId consumer, absl::Duration deadline) EXCLUDES(mu_);

  // After this no Deliver begins; one that is running may still end. What it held is returned, or
  // goes on to its deadline where leases outlive their consumer or `keeps_leases` says so.
  void Detach(ConsumerId consumer, bool keeps_leases = false) EXCLUDES(mu_);
  // Ends the leases that a consumer kept when it was detached: with kReturned or kConsumerGone.
  void EndLeases(ConsumerId consumer, ReleaseCause cause) EXCLUDES(mu_);

  // Whether nobody used it for as long as it says (expire_after).
  bool Unused(Instant now) const EXCLUDES(mu_);

  SubscriptionConfig config() const EXCLUDES(mu_);
  // What of it matters to every response.
  struct Properties {
    bool exactly_once = false;
    bool ordered = false;
    bool dead_letters = false;
  };
  Properties properties() const EXCLUDES(mu_);
  SubscriptionStats stats() const EXCLUDES(mu_);

  // The rest is for the engine and the topic.

  SubscriptionId id() const { return id_; }
  // Why it has none: it was detached, or it ended.
  absl::StatusOr<std::shared_ptr<Topic>> topic() const EXCLUDES(mu_);
  bool ephemeral() const { return cursor_ == nullptr; }
  bool is_snapshot() const { return snapshot_; }
  // Whether a publish means anything to it now: it has a consumer, or a filter to apply.
  bool hears_publishes() const EXCLUDES(mu_);
  absl::Duration acked_retention() const EXCLUDES(mu_);

  // Continues from `state`: all leases are over, consumers stay. The callback comes when it is
  // durable. One at a time.
  void Seek(CursorState state, StoreDone done) EXCLUDES(mu_);
  // What is acknowledged, and nothing of what is under way.
  CursorState Progress() const EXCLUDES(mu_);
  Offset floor() const { return floor_.load(std::memory_order_acquire); }
  // One that is set to push ends those who pull.
  void SetConfig(SubscriptionConfig config) EXCLUDES(mu_);

  // Leases what was leased when the engine before this one ended. Called once, before anything
  // happens.
  void RestoreLeases(const SavedLeases& saved) EXCLUDES(mu_);

  // A batch became durable, just now. Called in offset order, and only while it hears of publishes.
  // Whether nothing waits, something waits for a consumer, or there is one: then DeliverAppended
  // has to follow.
  enum class Appended { kNothingLeft, kBehind, kWanted };
  Appended OnAppended(const Ref<Batch>& batch) EXCLUDES(mu_);
  // Returns whether nothing is left of what there was.
  bool DeliverAppended(const Clock::Times& now) EXCLUDES(mu_) { return Pump(&now); }

  // The log holds more than this subscription was told of.
  void OnEndMoved(Offset end) EXCLUDES(mu_);

  // Lets go of the messages of these batches that have expired, but for what is out. False when
  // there is too much of it that is not copied yet: nothing was done then.
  bool LetExpire(const std::vector<Ref<Batch>>& batches) EXCLUDES(mu_);

  // Messages below `before` are gone; returns how many of them were not acknowledged.
  uint64_t DropBefore(Offset before) EXCLUDES(mu_);

  // Its topic was deleted, and lives on for those who need its messages.
  void LoseTopicName() EXCLUDES(mu_);

  // The topic does not wait for this subscription any more.
  void LeaveTopic() EXCLUDES(mu_);

  // Ends every consumer; Attach fails with `why` from now on. Lets go of the topic.
  void End(const absl::Status& why) EXCLUDES(mu_);

 private:
  // What clocks say, looked at once for many messages.
  using Moment = Clock::Times;
  // What clients say (subscription.cc).
  ConsumerState* FindConsumer(ConsumerId id) REQUIRES(mu_);
  // Takes those of which that is true out of the list.
  template <class Fn>
  std::vector<ConsumerState> TakeConsumers(Fn&& goes) REQUIRES(mu_) {
    const auto first = std::stable_partition(consumers_.begin(), consumers_.end(),
                                             [&](const auto& c) { return !goes(c); });
    std::vector<ConsumerState> gone(std::make_move_iterator(first),
                                    std::make_move_iterator(consumers_.end()));
    consumers_.erase(first, consumers_.end());
    for (const ConsumerState& consumer : gone) {
      limited_consumers_ -= consumer.limited ? 1 : 0;
      ForgetFailures(consumer);
    }
    return gone;
  }
  // Outside the lock.
  void TellEnded(const std::vector<ConsumerState>& gone, const absl::Status& why) const;
  // The topic has to know whether there are consumers.
  void ConsumersChanged() EXCLUDES(mu_);
  // One past the last durable message, also of what it has not heard of.
  Offset end() const REQUIRES(mu_) {
    return topic_ == nullptr ? end_ : std::max(end_, topic_->durable_end());
  }
  // What an acknowledgement did under the lock, to be told outside of it.
  struct Acked {
    OffsetRanges offsets;
    uint64_t settled = 0;
    Offset old_floor;
    std::shared_ptr<Topic> topic;
    bool pump = false;
  };
  Acked BeginAck(ConsumerId consumer, const std::vector<LeaseRange>& ranges, AckOutcome* outcome)
      EXCLUDES(mu_);
  // Settles what the consumer holds of `ranges`. `outcome` is null where nobody asks.
  uint64_t TakeAcked(ConsumerId consumer, const std::vector<LeaseRange>& ranges,
                     OffsetRanges* acked, AckOutcome* outcome) REQUIRES(mu_);
  // Tells of it, and when it is durable tells who asked.
  void Confirm(const Acked& acked, AckOutcome outcome, AckDone done) EXCLUDES(mu_);
  void AckKeyed(const Lease& lease, OffsetRanges* acked, AckOutcome* outcome) REQUIRES(mu_);
  void AckUnseen(const Lease& lease, AckOutcome* outcome) REQUIRES(mu_);
  void BeginAt(const CursorState& state) REQUIRES(mu_);
  // What takes leases needs: made when there are any, or a consumer.
  void BeginLeasing() REQUIRES(mu_);
  // As config_ says, in place of the one before.
  void MakeBreaker() REQUIRES(mu_);
  // Told to the cursor later.
  void SaveFailures(OffsetRange range, uint32_t failures) REQUIRES(mu_);
  // `delay` is what a nack asks for; without one the retry policy decides.
  void Release(const Lease& lease, ReleaseCause cause, absl::Duration delay) REQUIRES(mu_);
  void RecordEnd(const Lease& lease, EndedLeases::Why why) REQUIRES(mu_) {
    if (config_.exactly_once) ended_leases_.Add(lease, why);
  }
  void ReleaseKeyed(const Lease& lease, ReleaseCause cause, absl::Duration delay,
                    ConsumerId failed_by) REQUIRES(mu_);
  // How many more may be leased, `most` at the most.
  uint64_t LeaseRoom(uint64_t most) REQUIRES(mu_) {
    return lease_share_->Room(leases_.count(), most);
  }
  void LeasesEnded() REQUIRES(mu_) {
    if (lease_share_) lease_share_->Ended(leases_.count());
  }
  // When what fails now may come again; Instant() for at once.
  Instant RetryTime(const Lease& lease, ReleaseCause cause, absl::Duration delay, uint64_t count)
      REQUIRES(mu_);
  // The same as a function, for the lease table to call under our lock.
  auto Releasing(ReleaseCause cause, absl::Duration delay = absl::ZeroDuration()) {
    return [this, cause, delay](const Lease& lease) {
      mu_.AssertHeld();
      Release(lease, cause, delay);
    };
  }
  // What of these offsets is not settled may be delivered again from `when` on; Instant() for at
  // once.
  void MakeAvailable(const ReadySet::Range& range, Instant when) REQUIRES(mu_);
  // What goes first of what may go: by the messages' priorities, or, where those do not count, what
  // never failed before what failed, and what fails often last.
  uint8_t Precedence(uint32_t attempts, uint8_t priority) const REQUIRES(mu_) {
    return by_priority()                         ? priority
           : attempts == 0                       ? 2
           : attempts <= KeyQueues::kOftenFailed ? 1
                                                 : 0;
  }
  // For the breaker, and for who held it: what became of a lease.
  void Note(const Lease& lease, DeliveryOutcome outcome) REQUIRES(mu_) {
    breaker_->OnSettled(lease.first, lease.count, outcome, context_->clock.RoughNow());
    if (limited_consumers_ > 0) GiveRoom(lease);
  }
  void NoteFailure(const Lease& lease) REQUIRES(mu_);
  // What a consumer failed that leaves counts no more.
  void ForgetFailures(const ConsumerState& consumer) REQUIRES(mu_);
  BreakerState breaker_state() const REQUIRES(mu_) {
    return breaker_ ? breaker_->state() : BreakerState::kClosed;
  }
  void GiveRoom(const Lease& lease) REQUIRES(mu_);
  // Whether somebody may have more who could not before.
  bool RoomCame() REQUIRES(mu_) { return std::exchange(room_came_, false) && !NothingLeft(); }
  // What late acknowledgements do: settle(acked) under the lock, and all that is told afterwards.
  template <class Fn>
  Acked TakeLate(Fn&& settle) EXCLUDES(mu_);
  void SettleLate(Offset offset, Acked* acked) REQUIRES(mu_);
  // Whether a message may be acknowledged without a lease.
  bool LateAckCounts(Offset offset) const REQUIRES(mu_);
  bool LateConfirmCounts(Offset offset) const REQUIRES(mu_);
  // What is under way is over.
  void ForgetAll() REQUIRES(mu_);
  bool AttemptsUsedUp(uint32_t attempts) const REQUIRES(mu_);
  uint64_t MarkAcked(OffsetRange range) REQUIRES(mu_);
  // Tells the cursor and the topic of what MarkAcked settled.
  // `telling_` was raised under the lock.
  void TellAcked(absl::Span<const OffsetRange> acked, Offset old_floor,
                 const std::shared_ptr<Topic>& topic, StoreDone done = nullptr) EXCLUDES(mu_);
  // Lowers `telling_`: a seek that waits for it may come now.
  void Told() EXCLUDES(mu_);
  absl::Status NotAvailable(const AttachOptions& options) const REQUIRES(mu_);

  // What goes out (subscription_pump.cc). `known` is what the clocks have just said. Returns
  // whether nothing is left of what there was.
  bool Pump(const Moment* known = nullptr) EXCLUDES(mu_);
  // Returns whether there is someone to have it now.
  bool TakeIn(const Ref<Batch>& batch) REQUIRES(mu_);
  bool NothingLeft() const REQUIRES(mu_) {
    return next_ >= end_ && ready_.empty() && keys_.waiting() == 0;
  }
  std::shared_ptr<Consumer> Collect(const Moment* known) REQUIRES(mu_);
  // Whether what `failed_by` failed waits for another consumer than `consumer`.
  bool KeptForOthers(ConsumerId failed_by, ConsumerId consumer, Instant now) REQUIRES(mu_);
  absl::Duration AckDeadlineOf(const ConsumerState& consumer) const REQUIRES(mu_) {
    return consumer.ack_deadline > absl::ZeroDuration() ? consumer.ack_deadline
                                                        : config_.ack_deadline;
  }
  bool LeaseSomething(ConsumerState* consumer, const Moment& now) REQUIRES(mu_);
  // What failed before does not go before what is new when it was given more than its share.
  bool new_goes_first() const REQUIRES(mu_) { return again_ahead_ > 0; }
  void CountShare(bool again, uint32_t count) REQUIRES(mu_);
  bool LeaseReady(ConsumerState* consumer, const Moment& now) REQUIRES(mu_);
  bool LeaseNextOfKey(ConsumerState* consumer, const Moment& now) REQUIRES(mu_);
  bool LeaseFresh(ConsumerState* consumer, const Moment& now) REQUIRES(mu_);
  uint32_t LeaseRun(ConsumerState* consumer, const Ref<Batch>& batch, Offset from, uint64_t most,
                    const Arrival& kind, Instant now) REQUIRES(mu_);
  // Messages seen for the first time (subscription_fresh.cc).
  // Whether nothing in the batch from next_ on has to be looked into.
  bool AllGo(const Batch& batch) const REQUIRES(mu_);
  Arrival Judge(const Batch& batch, Offset offset, ConsumerId consumer, const Moment& now) const
      REQUIRES(mu_);
  // Passes over what does not go out now. Returns whether next_ is a message of the batch that may
  // go to `consumer`.
  bool PassOver(const Ref<Batch>& batch, ConsumerId consumer, const Moment& now) REQUIRES(mu_);
  void Hold(const Ref<Batch>& batch, const Arrival& arrival) REQUIRES(mu_);
  // Messages from next_ on that go out with the same number of attempts, `most` at the most.
  // REQUIRES: the first goes.
  uint64_t FreshRun(const Batch& batch, ConsumerId consumer, int64_t most, const Moment& now,
                    Arrival* first) REQUIRES(mu_);
  // By priority, what is at hand is looked at before anything goes.
  void LookAhead(const Moment& now) REQUIRES(mu_);
  // Passes over what the filter leaves out, from next_ to the end of the batch at the most.
  void SkipFiltered(const Batch& batch) REQUIRES(mu_);
  // Counts as acknowledged; the cursor is told soon. Returns how many were not acknowledged before.
  uint64_t Skip(OffsetRange range) REQUIRES(mu_);
  // The log has nothing between next_ and `found`: what was there is gone.
  void SkipTo(Offset found) REQUIRES(mu_);
  // What the filter leaves out of the backlog (subscription_scan.cc).
  void PassFiltered(OffsetRange range) REQUIRES(mu_);
  void RestartScan() REQUIRES(mu_);
  bool has_filter() const { return !filter_.matches_all(); }
  std::optional<Offset> ScanFrom() const REQUIRES(mu_);
  // Looks into the batch if it is the next.
  void Scan(const Batch& batch) REQUIRES(mu_);
  void ScanWindow() REQUIRES(mu_);
  void ScanPast(Offset end) REQUIRES(mu_);
  void ScheduleScan() REQUIRES(mu_) {
    if (has_filter()) ScheduleNextScan();
  }
  void ScheduleNextScan() REQUIRES(mu_);
  void ScanNext() EXCLUDES(mu_);
  void OnScanned(Offset from, const absl::StatusOr<std::vector<Ref<Batch>>>& read) EXCLUDES(mu_);
  void Expire(OffsetRange range, uint32_t attempts) REQUIRES(mu_);
  // Those that are not out, of one that has expired (subscription_expiry.cc): seen already and in
  // line, or still to come.
  void ExpireKnown(const Batch& batch, Offset offset, OffsetRanges* unkeyed) REQUIRES(mu_);
  void ExpireUnseen(const Batch& batch, Offset offset) REQUIRES(mu_);
  // What becomes of it when it is copied to the dead-letter topic: settled, or it expires again.
  void ForgetCondemned(Offset offset) REQUIRES(mu_);
  int64_t ExpiryOf(const Batch& batch, uint32_t begin, uint32_t end) const REQUIRES(mu_);
  // What expired while it was out does not wait for whatever comes next.
  void NoLongerOut(OffsetRange range, int64_t expires_us) REQUIRES(mu_);
  bool TtlPassed(const Batch& batch, const Moment& now) const REQUIRES(mu_);
  bool Expired(const Batch& batch, Offset offset, const Moment& now) const REQUIRES(mu_);
  uint32_t FailuresBefore(Offset offset) const REQUIRES(mu_);
  // Whether no more may be held back.
  bool held_is_full() const REQUIRES(mu_);
  void NoteHeldFull() REQUIRES(mu_);
  size_t held_bytes() const REQUIRES(mu_) {
    return keys_.memory_bytes() + ready_.scheduled_bytes();
  }
  uint64_t held() const REQUIRES(mu_) {
    return keys_.waiting() + ready_.scheduled() + (by_priority() ? ready_.count() : 0);
  }
  bool buries_expired() const REQUIRES(mu_) {
    return config_.dead_letter && config_.dead_letter->expired_too;
  }
  bool by_priority() const REQUIRES(mu_) { return config_.priority_delivery; }
  // Leases over restarts (subscription_leases.cc). What became of leases since they were told to
  // the cursor: told soon.
  void RecordExtended(LeaseRange range) REQUIRES(mu_);
  void RecordUnleased(const Lease& lease) REQUIRES(mu_);
  void ForgetSaved(OffsetRange range) REQUIRES(mu_);
  void ScheduleSave() REQUIRES(mu_);
  void OnSaveTimer() EXCLUDES(mu_);
  std::vector<SavedLease> TakeLeaseChanges() REQUIRES(mu_);
  void Restore(const SavedLease& saved, Instant deadline) REQUIRES(mu_);
  // Looks at all up to the last message that was out at a restart, so that what is behind next_ is
  // known. False while it has to be read: nothing goes out meanwhile.
  bool SeeRestored() REQUIRES(mu_);
  // next_ is such a message: finds its key and its priority.
  void SeeLeased(const Batch& batch, Offset offset) REQUIRES(mu_);
  // Later messages of the key of this one go to the consumer, once all that is out of it is.
  void HandKeyTo(Offset offset, ConsumerId consumer) REQUIRES(mu_);
  bool IsUnseen(const Lease& lease) const REQUIRES(mu_) { return lease.offsets().end > next_; }
  bool HeldUnseen(Offset offset) const REQUIRES(mu_);
  // What is not seen comes as if it were new.
  void ReleaseUnseen(const Lease& lease, ReleaseCause cause, absl::Duration delay) REQUIRES(mu_);
  struct PendingSeek {
    CursorState state;
    StoreDone done;
  };
  // Returns what the cursor is to be told outside of the lock.
  PendingSeek ApplySeek() REQUIRES(mu_);
  void TellSought(PendingSeek sought) EXCLUDES(mu_);
  void TellSkipped() EXCLUDES(mu_);
  void TellFailed() EXCLUDES(mu_);
  void TellLeases() EXCLUDES(mu_);
  // Before leases: one that is given after a failure is told after it.
  void TellFailuresAndSkips() EXCLUDES(mu_) {
    TellFailed();
    TellSkipped();
  }
  bool something_to_tell() const REQUIRES(mu_) {
    return !skipped_.empty() || !failed_.empty() || save_due_;
  }
  Moment Look() const { return context_->clock.Both(); }
  const Ref<Batch>* FreshBatch() REQUIRES(mu_);
  Ref<Batch> ReadyBatch(Offset offset) REQUIRES(mu_);
  void StartRead(Offset from) EXCLUDES(mu_);
  void OnRead(Offset from, absl::StatusOr<std::vector<Ref<Batch>>> read) EXCLUDES(mu_);
  // A read from `from` on, not behind next_, found nothing below `found`: what was there is gone.
  void DropGone(Offset from, Offset found) REQUIRES(mu_);
  // Messages that are damaged on the disk (subscription_damage.cc).
  // A read from `from` on found them. Returns what is to be told, if anything.
  std::optional<DamageEvent> OnDamage(Offset from, const absl::Status& error) REQUIRES(mu_);
  bool Damaged(Offset offset, Instant now) const REQUIRES(mu_);
  bool SkipsDamage() const REQUIRES(mu_) {
    return config_.skip_damaged && damage_ && damage_->extent_known;
  }
  void SkipDamaged(OffsetRange range) REQUIRES(mu_);
  // Whether what comes next of those is damaged: then it is out of the way of the others.
  bool PutReadyAside(const ReadySet::Range& front, Instant now) REQUIRES(mu_);
  bool PutNextOfKeyAside(ConsumerId consumer, Offset offset, const Moment& now) REQUIRES(mu_);
  // The consumers that are left with nothing but damaged messages.
  std::vector<ConsumerState> TakeStarved() REQUIRES(mu_);
  void EndStarved(const std::vector<ConsumerState>& starved, const absl::Status& why) EXCLUDES(mu_);
  // Those whose attempts are used up (subscription_dead_letter.cc).
  void ScheduleBurial() REQUIRES(mu_);
  void BuryNext() EXCLUDES(mu_);
  void TakeCondemned(const std::vector<Ref<Batch>>& batches, absl::Time now, Burial* burial,
                     std::vector<std::string>* copies) REQUIRES(mu_);
  // The first of the line, when it cannot be read now.
  void TakeUnreadable(const absl::Status& why, Burial* burial) REQUIRES(mu_);
  void Bury(Burial burial, const absl::StatusOr<std::vector<Ref<Batch>>>& read) EXCLUDES(mu_);
  void Buried(const Burial& burial, const absl::Status& status) EXCLUDES(mu_);
  // Queues messages whose attempts are used up, or that have expired.
  void Condemn(OffsetRange offsets, uint32_t attempts, ReleaseCause cause) REQUIRES(mu_);
  void Settle(const Condemned& condemned) REQUIRES(mu_);
  void TryAgain(const Condemned& condemned) REQUIRES(mu_);
  void ArmTimer(const Moment& now) REQUIRES(mu_);
  // Those whose deadline has passed.
  void EndLeases(Instant now) REQUIRES(mu_);
  void OnTimer(bool wall) EXCLUDES(mu_);

  const std::shared_ptr<EngineContext> context_;
  const SubscriptionId id_;
  const std::shared_ptr<Cursor> cursor_;
  const Filter filter_;
  const bool snapshot_;

  std::atomic<Offset> floor_;

  // Belongs to the thread that pumps.
  std::vector<Delivery> outgoing_;

  mutable Mutex mu_{LockRank::kSubscription};
  SubscriptionConfig config_ GUARDED_BY(mu_);
  std::shared_ptr<Topic> topic_ GUARDED_BY(mu_);
  absl::Status ended_ GUARDED_BY(mu_);

  std::vector<ConsumerState> consumers_ GUARDED_BY(mu_);
  // The index of who comes next.
  size_t turn_ GUARDED_BY(mu_) = 0;
  // Whether the last consumer asked was passed over in favour of others, and until when others are
  // waited for. By how many messages what failed before is ahead of what is new.
  uint64_t again_ahead_ GUARDED_BY(mu_) = 0;
  bool kept_for_others_ GUARDED_BY(mu_) = false;
  Instant others_until_ GUARDED_BY(mu_);
  ConsumerId next_consumer_ GUARDED_BY(mu_){1};
  // Those that left last and whose leases went on, not more than kMostDeparted.
  Queue<ConsumerId> departed_ GUARDED_BY(mu_);
  size_t limited_consumers_ GUARDED_BY(mu_) = 0;
  bool room_came_ GUARDED_BY(mu_) = false;
  Instant last_used_ GUARDED_BY(mu_);

  AckSet acked_ GUARDED_BY(mu_);
  LeaseTable leases_ GUARDED_BY(mu_);
  EndedLeases ended_leases_ GUARDED_BY(mu_);
  // Leases before this one ended by a seek: what they were of may be wanted again.
  LeaseId first_since_seek_ GUARDED_BY(mu_){1};
  RestoredLeases restored_ GUARDED_BY(mu_);
  // It was told that no more may be held back.
  bool held_full_ GUARDED_BY(mu_) = false;
  // Those before this one were told to the cursor, as far as they survive; and what of that has
  // changed since.
  LeaseId saved_to_ GUARDED_BY(mu_){1};
  std::vector<LeaseRange> extended_ GUARDED_BY(mu_);
  std::vector<OffsetRange> unleased_ GUARDED_BY(mu_);
  bool save_armed_ GUARDED_BY(mu_) = false;
  bool save_due_ GUARDED_BY(mu_) = false;
  // Both from the first consumer on: subscriptions that nobody reads are many.
  std::unique_ptr<LeaseQuota::Share> lease_share_ GUARDED_BY(mu_);
  std::unique_ptr<DeliveryBreaker> breaker_ GUARDED_BY(mu_);
  ReadySet ready_ GUARDED_BY(mu_);
  KeyQueues keys_ GUARDED_BY(mu_);
  // Deliveries that failed before the restart or the seek, by offset.
  static constexpr uint32_t kCondemned = UINT32_MAX;  // on its way to the dead-letter topic
  std::map<Offset, uint32_t> history_ GUARDED_BY(mu_);
  // Condemned in history_ since they expired before they were looked at.
  uint64_t expired_unseen_ GUARDED_BY(mu_) = 0;
  TokenBucket redeliveries_ GUARDED_BY(mu_){kRedeliveriesPerSecond, kRedeliveriesPerSecond};
  Queue<Condemned> condemned_ GUARDED_BY(mu_);
  bool burying_ GUARDED_BY(mu_) = false;
  // The first offset never leased, and one past the last durable one.
  Offset next_ GUARDED_BY(mu_);
  Offset end_ GUARDED_BY(mu_);
  // Batches at hand from next_ on, in one stretch; and those of messages that were passed over or
  // come again.
  Queue<Ref<Batch>> window_ GUARDED_BY(mu_);
  size_t window_bytes_ GUARDED_BY(mu_) = 0;
  HeldBatches held_ GUARDED_BY(mu_);
  // Of the messages that FreshRun has just found; they point into their batch.
  std::vector<std::string_view> fresh_keys_ GUARDED_BY(mu_);
  // Failed, and not told to the cursor yet.
  std::vector<FailedRange> failed_ GUARDED_BY(mu_);
  // Left out by the filter and not told to the cursor yet, and the floor before.
  std::vector<OffsetRange> skipped_ GUARDED_BY(mu_);
  Offset floor_before_skips_ GUARDED_BY(mu_);

  // Everything from next_ to here was looked at, and so many of them the filter leaves out; the
  // message that is known to match, when it is at next_.
  Offset scanned_ GUARDED_BY(mu_);
  uint64_t filtered_ahead_ GUARDED_BY(mu_) = 0;
  Offset head_matches_ GUARDED_BY(mu_);
  bool scanning_ GUARDED_BY(mu_) = false;

  bool pumping_ GUARDED_BY(mu_) = false;
  bool pump_again_ GUARDED_BY(mu_) = false;
  bool reading_ GUARDED_BY(mu_) = false;
  std::optional<Offset> wanted_ GUARDED_BY(mu_);
  // What the last read that found damage found.
  std::unique_ptr<FoundDamage> damage_ GUARDED_BY(mu_);
  Instant armed_ GUARDED_BY(mu_) = Instant::Never();
  int64_t armed_wall_us_ GUARDED_BY(mu_) = ScheduledSet::kNever;

  // A seek waits for the pump, and for those who are just telling the cursor what they
  // acknowledged.
  std::unique_ptr<PendingSeek> seek_ GUARDED_BY(mu_);
  std::atomic<bool> seek_waits_ = false;
  // Raised under the lock only.
  std::atomic<int> telling_ = 0;
  // Grows with each seek.
  uint64_t epoch_ GUARDED_BY(mu_) = 0;

  uint64_t delivered_ GUARDED_BY(mu_) = 0;
  uint64_t settled_ GUARDED_BY(mu_) = 0;
  uint64_t nacked_ GUARDED_BY(mu_) = 0;
  uint64_t expired_ GUARDED_BY(mu_) = 0;
  uint64_t redelivered_ GUARDED_BY(mu_) = 0;
};

}  // namespace sluice
