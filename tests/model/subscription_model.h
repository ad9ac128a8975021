// One subscription as it should be: a state for every message, in plain maps. It is told what
// clients do, before the engine is, and what the engine delivers; it knows what may come and what
// must, and writes down what should not have been.
//
// Where the engine is free, so is the model: any consumer with credit may get a message, in any
// order that keys allow; a retry delay lies between its least and its most; a message whose time
// has passed may go away whenever the engine looks; after a crash a message may be anywhere between
// what was durable and what was said.
//
//   SubscriptionModel billing(config, matches, &truth, &findings);
//   billing.Attach(consumer);  billing.Grant(consumer, 10, Subscription::kNoByteLimit);
//   billing.Delivered(consumer, {offset, lease, attempt, bytes}, now);
//   EXPECT_EQ(subscription->Ack(...), billing.Ack(...));
//
// subscription_model.cc has what clients do and what the engine does in answer,
// subscription_recovery.cc what restarts and seeks do, and what is checked.
//
// Thread rule: for one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/engine/config.h"
#include "core/engine/consumer.h"
#include "core/engine/dead_letter.h"
#include "core/engine/lease_table.h"
#include "core/storage/backend.h"
#include "tests/model/invariant.h"
#include "tests/model/message.h"

namespace sluice::model {

// What happened in all subscriptions together since the engine was opened.
struct Truth {
  uint64_t published = 0;
  uint64_t delivered = 0;
  uint64_t redelivered = 0;
  uint64_t acked = 0;
  uint64_t nacked = 0;
  uint64_t expired = 0;
  // Of these, taken back in the same moment because of an earlier one of their key, and perhaps not
  // counted.
  uint64_t expired_or_not = 0;
  uint64_t dead_lettered = 0;

  Truth& operator+=(const Truth& other);
};

// What both clocks say.
struct Moment {
  Instant now;
  int64_t wall_us = 0;
};

struct DeliveredMessage {
  uint64_t offset = 0;
  LeaseId lease;
  uint32_t attempt = 0;
  size_t bytes = 0;
};

// Both ends included.
struct Bounds {
  uint64_t least = 0;
  uint64_t most = 0;
};

// What has to become of acknowledgements that are confirmed.
struct AckResult {
  std::set<LeaseId> confirmed;
  std::set<LeaseId> refused;
  std::set<LeaseId> too_early;

  bool operator==(const AckResult&) const = default;
};

class SubscriptionModel {
 public:
  SubscriptionModel(SubscriptionConfig config, std::function<bool(const Message&)> matches,
                    Truth* truth, Findings* findings)
      : config_(std::move(config)),
        matches_(std::move(matches)),
        truth_(truth),
        findings_(findings) {}

  const SubscriptionConfig& config() const { return config_; }

  // The topic's log has one more. `message` lives as long as the model; it expires at that time.
  void Stored(uint64_t offset, const Message& message, int64_t expire_us, const Moment& at);
  // The same for one from before the subscription, which begins behind it.
  void StoredBefore(uint64_t offset, const Message& message, int64_t expire_us, const Moment& at) {
    Stored(offset, message, expire_us, at);
    if (states_[offset].where == Where::kWaiting) states_[offset].where = Where::kAcked;
  }

  // Leases of one that is `outlived` go on to their deadlines without it, and over restarts.
  void Attach(ConsumerId consumer, bool outlived) {
    consumers_[consumer] = {};
    consumers_[consumer].outlived = outlived;
  }
  void Grant(ConsumerId consumer, int64_t messages, int64_t bytes);
  void Delivered(ConsumerId consumer, const DeliveredMessage& delivered, const Moment& at);
  // How many leases the engine is to settle. A nack may take back later ones of a key that it names
  // itself.
  uint64_t Ack(ConsumerId consumer, LeaseRange range);
  Bounds Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay, Instant now);
  uint64_t Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline, Instant now);
  // Without a word, or not: only the first is a failure of what it held.
  void Detach(ConsumerId consumer, bool lost, Instant now);
  // Both clocks are there now: deadlines have passed, messages fell due or expired.
  void Tick(const Moment& at);

  // Adds to `result` and to `offsets` what the range confirms.
  void AckConfirmed(ConsumerId consumer, LeaseRange range, AckResult* result,
                    std::vector<uint64_t>* offsets);
  // The engine says that these are durable.
  void Confirmed(const std::vector<uint64_t>& offsets);

  // The store has a dead letter on its way; has it; refuses it.
  void BuryStaged(OffsetRange offsets);
  void Buried(uint64_t offset, const Message& copy);
  void BuryRefused(OffsetRange offsets, Instant now);

  // The subscription begins anew; it is durable that it does.
  void Sought(const CursorState& state, const Moment& at);
  void SeekDone();

  // The engine has the store save this lease.
  void LeaseStaged(const SavedLease& lease, const Moment& at);
  // What was said so far is durable.
  void Saved();
  // The engine is opened again and finds this in the store, after a `clean` shutdown or not: leases
  // are over, but for those.
  void Recovered(const CursorState& state, bool clean, const Moment& at);
  // Those, by the names under which they were given, and what each is called now.
  void Restored(const std::function<std::optional<LeaseId>(const SavedLease&)>& name_now);

  // Whether all that may be delivered is. With `idle` the store has nothing to do any more; with
  // `held_back` the engine has a reason of its own to wait.
  void CheckProgress(const Moment& at, bool idle, bool held_back) const;
  // Messages that have waited for longer than a second since they expired and since `rested`, when
  // the store had last had something to do.
  uint64_t overdue(const Moment& at, Instant rested) const;

  // The live leases of a consumer, in order; the highest that ever was.
  std::vector<LeaseId> LeasesOf(ConsumerId consumer) const;
  LeaseId last_lease() const { return last_lease_; }
  uint64_t leased() const { return live_.size(); }
  // Messages that are not settled; the least without those that may have gone because they expired,
  // the most with those that the filter leaves out, unless the engine has had the time to look at
  // them.
  Bounds backlog(bool looked) const;
  // The offset of the first that has to be kept; beyond all when there is none.
  uint64_t FirstNeeded() const;
  // The offset of the first that the engine may still hold on to.
  uint64_t FirstUnsettled() const;

 private:
  enum class Where { kWaiting, kLeased, kAckHeld, kCondemned, kAcked, kBuried, kFiltered };

  struct State {
    const Message* message = nullptr;
    Where where = Where::kWaiting;
    // Deliveries that failed, and the number of the last one; 0 for none.
    uint32_t failures = 0;
    uint32_t attempt = 0;
    // While it waits: not before the one, at the latest at the other.
    Instant earliest, latest;
    // Of one that is to be delivered at a time of day: whether that time was seen, and since when
    // it has been past.
    bool due_seen = true;
    Instant due_since;
    int64_t expire_us = kNeverExpires;
    // Its time had passed while it waited: it may be gone.
    bool may_be_gone = false;
    // Since when; never while it may be delivered, or is.
    Instant expired_since = Instant::Never();
    // While it is leased, or its acknowledgement is held.
    ConsumerId consumer;
    LeaseId lease;
    Instant deadline;
    // While it is leased: whether that goes on over a restart, since when, and as what it was
    // saved, if it was.
    bool survives = false;
    Instant leased_since;
    std::optional<SavedLease> saved;
    // Of a lease that was given before a restart.
    std::optional<SavedLease> origin;
    // While it is condemned; nothing when nobody knows any more.
    std::optional<ReleaseCause> cause;
    bool copy_staged = false;

    bool settled() const {
      return where == Where::kAcked || where == Where::kBuried || where == Where::kFiltered;
    }
    bool out() const { return where == Where::kLeased || where == Where::kAckHeld; }
    bool matters() const { return !settled() && !may_be_gone; }
  };
  struct Durable {
    bool settled = false;
    uint32_t failures = 0;
    // That it was leased.
    std::optional<SavedLease> lease;
  };
  struct Credit {
    bool outlived = false;
    int64_t messages = 0;
    int64_t bytes = 0;
    bool counts_bytes = true;
    // When something was delivered for it.
    Instant used;

    bool any() const { return messages > 0 && (!counts_bytes || bytes > 0); }
  };

  void Fail(Invariant invariant, std::string_view what, uint64_t offset) const;
  void CheckMayCome(ConsumerId consumer, const DeliveredMessage& delivered, const Moment& at) const;
  void CheckTime(const State& state, uint64_t offset, const Moment& at) const;
  void CheckOrder(ConsumerId consumer, uint64_t offset, int64_t wall_us) const;
  void CheckRecovered(uint64_t offset, const State& state, bool settled, uint32_t failures);
  void CheckRecoveredLease(uint64_t offset, const State& state, const SavedLease* found, bool clean,
                           const Moment& at);
  // As the engine does with a lease that it finds.
  void Lease(uint64_t offset, const SavedLease& saved, const Moment& at);
  // Whether its key has an earlier message that has to come first.
  bool BehindItsKey(uint64_t offset, int64_t wall_us) const;
  void CheckCopy(uint64_t offset, const State& state, const Message& copy) const;
  static void UpdateTimes(State* state, const Moment& at);
  static bool Due(const State& state, const Moment& at);
  // Whether what one consumer failed may wait for another that has just used up its credit.
  bool MayWaitForOthers(const Moment& at) const;

  // The leases that `consumer` holds in the range, in order.
  std::vector<uint64_t> HeldBy(ConsumerId consumer, LeaseRange range) const;
  bool Keyed(const State& state) const { return config_.ordered && !state.message->key.empty(); }
  // Whether an earlier message of its key is out.
  bool HasEarlierOut(uint64_t offset) const;
  // An acknowledgement, and those of later messages of the key that waited for it.
  void SettleAck(uint64_t offset);
  // The lease is over without an acknowledgement; so are those of later messages of its key.
  void Release(uint64_t offset, ReleaseCause cause, absl::Duration delay, Instant now);
  void TakeBackAfter(uint64_t offset, Instant now);
  bool BuriesExpired() const { return config_.dead_letter && config_.dead_letter->expired_too; }
  bool AttemptsUsedUp(uint32_t attempts) const {
    return config_.dead_letter && attempts >= config_.dead_letter->max_attempts;
  }

  const SubscriptionConfig config_;
  const std::function<bool(const Message&)> matches_;
  Truth* const truth_;
  Findings* const findings_;

  std::map<uint64_t, State> states_;
  std::map<uint64_t, Durable> durable_;
  std::map<ConsumerId, Credit> consumers_;
  // Live leases, and what they are for.
  std::map<LeaseId, uint64_t> live_;
  LeaseId last_lease_;
  // Seeks that are not durable, and dead letters on their way from before one.
  int seeks_ = 0;
  std::multiset<uint64_t> stale_copies_;
};

}  // namespace sluice::model
