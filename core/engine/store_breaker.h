// The circuit breaker between topics and their store: when appends fail, are slow or do not come
// back, publishes are refused at once instead of queueing behind them, until probes go through
// again.
//
//   auto call = breaker.Admit();                       // UNAVAILABLE, CIRCUIT_OPEN, with a retry delay
//   log->Append(batch, [&, call](absl::Status status) { breaker.Record(call, status); ... });
//
// A store that is full answers, in good time: that is no failure, and STORAGE_FULL is what its
// publishers are told. A publisher's own deadline that passes before the write begins is no failure
// of the store either; one that waited for `slow_call` or longer counts as a slow call. A store
// that hangs is found by `stalled_call`, whatever deadlines its callers set.
//
// The timer queue sees stalls and the end of the open time also while nobody publishes: readiness
// depends on it, and who takes a server that is not ready out of the traffic must get it back
// without sending it any.
//
// Thread rule: every member may be called from any thread. The timer queue is stopped before this
// is destroyed.
#pragma once

#include <atomic>

#include "absl/status/statusor.h"
#include "core/base/timer_queue.h"
#include "core/engine/breaker_event.h"
#include "core/flow/circuit_breaker.h"
#include "core/metrics/metrics.h"

namespace sluice {

class StoreBreaker {
 public:
  // How often time is looked at while calls are under way or it is open.
  static constexpr absl::Duration kWatchInterval = absl::Milliseconds(100);

  // `listener` may be null.
  StoreBreaker(const BreakerOptions& options, const Clock& clock, TimerQueue& timers,
               BreakerMetrics& metrics, BreakerListener listener);

  absl::StatusOr<CircuitBreaker::Call> Admit(Instant now);
  // What came of it. Mistakes of the publisher do not count.
  void Record(const CircuitBreaker::Call& call, const absl::Status& status, Instant now);

  BreakerSnapshot snapshot() const { return breaker_.snapshot(); }

 private:
  void Watch();

  const Clock& clock_;
  TimerQueue& timers_;
  BreakerMetrics& metrics_;
  const absl::Duration slow_call_;
  CircuitBreaker breaker_;
  std::atomic<bool> watching_{false};
};

}  // namespace sluice
