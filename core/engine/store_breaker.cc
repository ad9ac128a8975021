#include "core/engine/store_breaker.h"

#include <utility>

#include "core/base/error.h"

namespace sluice {
namespace {

// What the answer to an append says of the store. DATA_LOSS is one topic's.
CallOutcome OutcomeOf(const absl::Status& status, bool slow) {
  if (status.ok()) return CallOutcome::kSuccess;
  switch (ReasonOf(status).value_or(Reason::kInternal)) {
    case Reason::kStorageUnavailable:
    case Reason::kInternal:
      return CallOutcome::kFailure;
    case Reason::kDeadlineExceeded:
      // The publisher chose the deadline. Only one that waited as long as a slow call says that the
      // store is slow.
      return slow ? CallOutcome::kSuccess : CallOutcome::kIgnored;
    case Reason::kStorageFull:
      return CallOutcome::kSuccess;
    default:
      return CallOutcome::kIgnored;
  }
}

}  // namespace

StoreBreaker::StoreBreaker(const BreakerOptions& options, const Clock& clock, TimerQueue& timers,
                           BreakerMetrics& metrics, BreakerListener listener)
    : clock_(clock),
      timers_(timers),
      metrics_(metrics),
      slow_call_(options.slow_call),
      breaker_("the store", options, clock,
               [&metrics, listener = std::move(listener)](const BreakerChange& change) {
                 metrics.CountChange(static_cast<size_t>(change.to));
                 if (listener) listener({BreakerKind::kStore, "", change});
               }) {}

absl::StatusOr<CircuitBreaker::Call> StoreBreaker::Admit(Instant now) {
  auto call = breaker_.Admit(now);
  if (call.ok()) {
    Watch();
  } else {
    metrics_.rejections.Add();
  }
  return call;
}

void StoreBreaker::Record(const CircuitBreaker::Call& call, const absl::Status& status,
                          Instant now) {
  breaker_.Record(call, OutcomeOf(status, now - call.start >= slow_call_), now);
}

// One timer at a time. The mark goes before the look: a call that begins after it sets a timer of
// its own.
void StoreBreaker::Watch() {
  if (watching_.load(std::memory_order_relaxed) || watching_.exchange(true)) return;
  timers_.At(clock_.Now() + kWatchInterval, [this] {
    watching_.store(false);
    if (breaker_.Tick()) Watch();
  });
}

}  // namespace sluice
