// The circuit breaker of one subscription's delivery: consumers that fail nearly everything they
// get are given a few messages now and then, at growing distances, until they succeed again; then
// everything.
//
// Each message is judged once: it opens by messages that fail the first time they are delivered
// (since a restart or a seek). One that fails again and again says something about itself, not
// about the consumers, so that a few of them cannot stop the others. Only where nothing else
// succeeds, and where it is a probe, it counts: fails_everything() says that what failed should
// wait longer.
//
//   const uint64_t most = breaker.Allowance(now);      // 0: look again at next_look()
//   breaker.OnLeased(first_lease, count);              // count <= most
//   breaker.OnSettled(part.first, part.count, DeliveryOutcome::kFailed, now);
//   if (auto change = breaker.TakeChange()) ...        // to be told, once no lock is held
//
// Leases are numbered in the order in which they are given, so that those from before the last
// change of state are known by their numbers: what becomes of them says nothing about the consumers
// of now.
//
// One message that always fails does not keep it open: probes are several, and judged by the ratio.
//
// Thread rule: a plain object; the subscription locks. The metrics guard themselves and outlive it.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/clock.h"
#include "core/base/named_type.h"
#include "core/engine/config.h"
#include "core/engine/consumer.h"
#include "core/flow/breaker_machine.h"
#include "core/metrics/metrics.h"

namespace sluice {

enum class DeliveryOutcome {
  kAcked,
  // Nacked, or its deadline passed: the first time, and later ones.
  kFailed,
  kFailedAgain,
  // Its consumer went away, or the message, or it asked for the message later: says nothing.
  kReturned,
};

class DeliveryBreaker {
 public:
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

  // As a policy is without being set: opens when 9 of 10 first deliveries of the last minute
  // failed, and there were 100; 10 messages are a probe. One that is disabled never opens.
  static BreakerOptions OptionsFrom(const DeliveryBreakerPolicy& policy);

  // `next` is the id of the next lease: those before it do not count.
  explicit DeliveryBreaker(BreakerMetrics& metrics, const BreakerOptions& options = OptionsFrom({}),
                           LeaseId next = LeaseId(1))
      : metrics_(metrics), machine_(options), next_lease_(next), first_that_counts_(next) {}
  ~DeliveryBreaker();
  DeliveryBreaker(const DeliveryBreaker&) = delete;
  DeliveryBreaker& operator=(const DeliveryBreaker&) = delete;

  // How many messages may be leased now; kNoLimit while it is closed.
  uint64_t Allowance(Instant now) {
    return state() == BreakerState::kClosed ? kNoLimit : AllowanceOfProbes(now);
  }
  // When to ask again after an allowance of 0, unless something is settled before; Never() when
  // only that will change it.
  Instant next_look() const { return machine_.open_until(); }

  // REQUIRES: no more than the last allowance; called in the order of the leases.
  void OnLeased(LeaseId first, uint32_t count, Instant now);
  // What one consumer failed since the breaker closed last.
  struct Failures {
    uint64_t epoch = 0;
    RollingWindow counts;
  };
  // Leases `first` to first + count - 1, which were given together. `consumer_failures` are those
  // of their consumer, made when there is something to keep; null for one that is gone.
  void OnSettled(LeaseId first, uint32_t count, DeliveryOutcome outcome, Instant now,
                 std::unique_ptr<Failures>* consumer_failures = nullptr);
  // The consumer that failed these is gone. What it refused on its way out says nothing about the
  // others, nor does what it failed before: closes unless the others would have opened it.
  void OnConsumerGone(const Failures& failures, Instant now);

  // Whether nothing has succeeded lately, though enough was tried: it is not closed, or as many
  // deliveries as would open it failed one after the other, those of messages that had failed
  // before included. Never where it is disabled.
  bool fails_everything() const {
    return state() != BreakerState::kClosed ||
           (machine_.options().failure_ratio > 0 &&
            failures_in_a_row_ >= machine_.options().minimum_calls);
  }
  const BreakerOptions& options() const { return machine_.options(); }

  std::optional<BreakerChange> TakeChange() { return std::exchange(change_, std::nullopt); }
  BreakerState state() const { return machine_.state(); }

 private:
  uint64_t AllowanceOfProbes(Instant now);
  void NoteChange();

  BreakerMetrics& metrics_;
  BreakerMachine machine_;
  std::optional<BreakerChange> change_;
  LeaseId next_lease_;
  // The first one given since the last change.
  LeaseId first_that_counts_;
  uint64_t failures_in_a_row_ = 0;
  // Since it closed last.
  uint64_t closed_epoch_ = 0;
};

}  // namespace sluice
