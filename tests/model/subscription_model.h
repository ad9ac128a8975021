// One subscription as it should be: a state for every message, in plain maps. It is told what clients do, before the
// engine is, and what the engine delivers; it knows what may come and what must, and writes down what should not have
// been.
//
// Where the engine is free, so is the model: any consumer with credit may get a message, in any order; a retry delay
// lies between its least and its most; after a crash a message may be anywhere between what was durable and what was
// said.
//
//   SubscriptionModel billing(config, matches, &truth, &findings);
//   billing.Attach(consumer);  billing.Grant(consumer, 10, Subscription::kNoByteLimit);
//   billing.Delivered(consumer, {offset, lease, attempt, bytes}, now);
//   EXPECT_EQ(subscription->Ack(...), billing.Ack(...));
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
  uint64_t dead_lettered = 0;

  bool operator==(const Truth&) const = default;
  Truth& operator+=(const Truth& other);
};

struct DeliveredMessage {
  uint64_t offset = 0;
  LeaseId lease;
  uint32_t attempt = 0;
  size_t bytes = 0;
};

class SubscriptionModel {
 public:
  SubscriptionModel(SubscriptionConfig config, std::function<bool(const Message&)> matches, Truth* truth,
                    Findings* findings)
      : config_(std::move(config)), matches_(std::move(matches)), truth_(truth), findings_(findings) {}

  const SubscriptionConfig& config() const { return config_; }

  // The topic's log has one more. `message` lives as long as the model.
  void Stored(uint64_t offset, const Message& message);

  void Attach(ConsumerId consumer) { consumers_[consumer] = {}; }
  void Grant(ConsumerId consumer, int64_t messages, int64_t bytes);
  void Delivered(ConsumerId consumer, const DeliveredMessage& delivered, Instant now);
  // As the engine's: how many leases it settles.
  uint64_t Ack(ConsumerId consumer, LeaseRange range);
  uint64_t Nack(ConsumerId consumer, LeaseRange range, absl::Duration delay, Instant now);
  uint64_t Extend(ConsumerId consumer, LeaseRange range, absl::Duration deadline, Instant now);
  void Detach(ConsumerId consumer, Instant now);
  // Deadlines up to `now` have passed.
  void Tick(Instant now);

  // The dead-letter topic has a copy of the message at `offset`.
  void Buried(uint64_t offset, const Message& copy);
  void BuryRefused(OffsetRange offsets, Instant now);

  // What was said so far is durable.
  void Saved();
  // The engine was opened again and found this in the store; the leases are over.
  void Recovered(const CursorState& state, Instant now);

  // Whether all that may be delivered is. With `idle` the store has nothing to do any more.
  void CheckProgress(Instant now, bool idle) const;

  // The live leases of a consumer, in order; all that ever were.
  std::vector<LeaseId> LeasesOf(ConsumerId consumer) const;
  LeaseId last_lease() const { return last_lease_; }
  uint64_t leased() const { return live_.size(); }
  // Messages that match and are not settled; and those that do not match.
  uint64_t unsettled() const;
  uint64_t filtered() const;
  // The offset of the first that is not settled; beyond all when there is none.
  uint64_t FirstUnsettled() const;

 private:
  enum class Where { kWaiting, kLeased, kCondemned, kAcked, kBuried, kFiltered };

  struct State {
    const Message* message = nullptr;
    Where where = Where::kWaiting;
    // The number of the last delivery; 0 for none.
    uint32_t attempt = 0;
    // While it waits: not before the one, at the latest at the other.
    Instant earliest, latest;
    // While it is leased.
    ConsumerId consumer;
    LeaseId lease;
    Instant deadline;
    // While it is condemned; nothing when nobody knows any more.
    std::optional<ReleaseCause> cause;

    bool settled() const { return where == Where::kAcked || where == Where::kBuried || where == Where::kFiltered; }
  };
  struct Durable {
    bool settled = false;
    uint32_t attempt = 0;
  };
  struct Credit {
    int64_t messages = 0;
    int64_t bytes = 0;
    bool counts_bytes = true;

    bool any() const { return messages > 0 && (!counts_bytes || bytes > 0); }
  };

  void Fail(Invariant invariant, std::string_view what, uint64_t offset) const;
  void CheckMayCome(ConsumerId consumer, const DeliveredMessage& delivered, Instant now) const;
  // Calls fn(state) for the messages that `consumer` holds under these leases.
  template <class Fn>
  uint64_t ForLeases(ConsumerId consumer, LeaseRange range, Fn&& fn);
  // The lease is over without an acknowledgement.
  void Release(State* state, ReleaseCause cause, absl::Duration delay, Instant now);
  void EndLease(State* state);
  bool AttemptsUsedUp(const State& state) const {
    return config_.dead_letter && state.attempt >= config_.dead_letter->max_attempts;
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
};

}  // namespace sluice::model
