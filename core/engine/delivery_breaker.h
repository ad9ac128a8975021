// The circuit breaker of one subscription's delivery: consumers that fail nearly everything they get are given a few
// messages now and then, at growing distances, until they succeed again; then everything.
//
//   const uint64_t most = breaker.Allowance(now);      // 0: look again at next_look()
//   breaker.OnLeased(first_lease, count);              // count <= most
//   breaker.OnSettled(part.first, part.count, DeliveryOutcome::kFailed, now);
//   if (auto change = breaker.TakeChange()) ...        // to be told, once no lock is held
//
// Leases are numbered in the order in which they are given, so that those from before the last change of state are known
// by their numbers: what becomes of them says nothing about the consumers of now.
//
// One message that always fails does not keep it open: probes are several, and judged by the ratio.
//
// Thread rule: a plain object; the subscription locks. The metrics guard themselves and outlive it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "core/base/clock.h"
#include "core/base/named_type.h"
#include "core/engine/consumer.h"
#include "core/flow/breaker_machine.h"
#include "core/metrics/metrics.h"

namespace sluice {

enum class DeliveryOutcome {
  kAcked,
  // Nacked, or its deadline passed.
  kFailed,
  // Its consumer went away, or the message: says nothing.
  kReturned,
};

class DeliveryBreaker {
 public:
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

  // Opens when 9 of 10 deliveries of the last minute failed, and there were 100; 10 messages are a probe.
  static BreakerOptions Defaults();

  explicit DeliveryBreaker(BreakerMetrics& metrics, const BreakerOptions& options = Defaults())
      : metrics_(metrics), machine_(options) {}
  ~DeliveryBreaker();
  DeliveryBreaker(const DeliveryBreaker&) = delete;
  DeliveryBreaker& operator=(const DeliveryBreaker&) = delete;

  // How many messages may be leased now; kNoLimit while it is closed.
  uint64_t Allowance(Instant now) { return state() == BreakerState::kClosed ? kNoLimit : AllowanceOfProbes(now); }
  // When to ask again after an allowance of 0, unless something is settled before; Never() when only that will change it.
  Instant next_look() const { return machine_.open_until(); }

  // REQUIRES: no more than the last allowance; called in the order of the leases.
  void OnLeased(LeaseId first, uint32_t count, Instant now);
  // Leases `first` to first + count - 1, which were given together.
  void OnSettled(LeaseId first, uint32_t count, DeliveryOutcome outcome, Instant now);

  std::optional<BreakerChange> TakeChange() { return std::exchange(change_, std::nullopt); }
  BreakerState state() const { return machine_.state(); }

 private:
  uint64_t AllowanceOfProbes(Instant now);
  void NoteChange();

  BreakerMetrics& metrics_;
  BreakerMachine machine_;
  std::optional<BreakerChange> change_;
  LeaseId next_lease_{1};
  // The first one given since the last change.
  LeaseId first_that_counts_{1};
};

}  // namespace sluice
