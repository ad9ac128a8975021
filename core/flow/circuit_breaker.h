// A circuit breaker: stops calling what fails, is slow or hangs, and tries it again with a few
// probes later. What it does when is in breaker_machine.h and breaker_options.h.
//
//   CircuitBreaker breaker("the mail server", options, clock, [](const BreakerChange& change) {...});
//
//   absl::StatusOr<CircuitBreaker::Call> call = breaker.Admit();
//   if (!call.ok()) return call.status();               // UNAVAILABLE, CIRCUIT_OPEN, with a retry delay
//   ...                                                 // here, or with the call handed on to where it ends:
//   breaker.Record(*call, CallOutcome::kSuccess);
//
// or, for a scope that may be left early:
//
//   CircuitBreaker::Permit permit(breaker);
//   if (!permit.ok()) return permit.status();
//   absl::Status status = CallTheOther();
//   permit.Record(status.ok() ? CallOutcome::kSuccess : CallOutcome::kFailure);
//
// A permit that is dropped without a result says nothing about the other side (most of those who
// leave early were stopped by a mistake of their own): it counts as kIgnored.
//
// Time alone changes it too, a call that does not end and the end of the open time. Both are seen
// by the next Admit; who has a timer calls Tick() as well, and then they are seen without one.
//
// While nothing fails, callers do not meet: calls are counted by stripes (core/base/stripes.h), and
// what succeeded in time is put together when something does not.
//
// Thread rule: every member may be called from any thread. The observer is called without a lock,
// by the thread that caused the change; two changes shortly after each other may come in either
// order, snapshot() has the last word.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/base/stripes.h"
#include "core/flow/breaker_machine.h"
#include "core/flow/outstanding_calls.h"

namespace sluice {

enum class CallOutcome {
  kSuccess,
  kFailure,
  // Says nothing about what is called: the caller's own mistake, say.
  kIgnored,
};

struct BreakerSnapshot {
  BreakerState state = BreakerState::kClosed;
  // Of the last change.
  BreakerCause cause = BreakerCause::kNone;
  // How long who comes now should wait; zero when closed.
  absl::Duration retry_delay;
  // Since it was made.
  uint64_t opened = 0;
  uint64_t rejected = 0;
};

class CircuitBreaker {
 public:
  using Observer = std::function<void(const BreakerChange&)>;

  // A call that was let in: a value, to be given to Record once.
  struct Call {
    Instant start;
    uint64_t epoch = 0;
    uint8_t cohort = 0;
    uint8_t stripe = 0;
  };

  class Permit {
   public:
    explicit Permit(CircuitBreaker& breaker) : breaker_(breaker), call_(breaker.Admit()) {}
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;
    ~Permit() { Record(CallOutcome::kIgnored); }

    bool ok() const { return call_.ok(); }
    absl::Status status() const { return call_.status(); }
    // The first one counts.
    void Record(CallOutcome outcome) {
      if (call_.ok() && !std::exchange(recorded_, true)) breaker_.Record(*call_, outcome);
    }

   private:
    CircuitBreaker& breaker_;
    const absl::StatusOr<Call> call_;
    bool recorded_ = false;
  };

  // `name` is of what is called, for refusals. REQUIRES: Validate(options) is OK. `observer` may be
  // null.
  CircuitBreaker(std::string name, const BreakerOptions& options, const Clock& clock,
                 Observer observer)
      : name_(std::move(name)),
        options_(options),
        clock_(clock),
        observer_(std::move(observer)),
        machine_(options),
        slice_(machine_.slice()) {}

  // Allocates nothing unless it refuses.
  absl::StatusOr<Call> Admit() { return Admit(clock_.Now()); }
  void Record(const Call& call, CallOutcome outcome) { Record(call, outcome, clock_.Now()); }
  // For those who have just looked at the clock.
  absl::StatusOr<Call> Admit(Instant now) EXCLUDES(mu_);
  void Record(const Call& call, CallOutcome outcome, Instant now) EXCLUDES(mu_);

  // Returns whether there is something that time may change: whether to call again.
  bool Tick() EXCLUDES(mu_);

  BreakerSnapshot snapshot() const EXCLUDES(mu_);
  BreakerState state() const EXCLUDES(mu_);

 private:
  static constexpr uint64_t kNotQuiet = std::numeric_limits<uint64_t>::max();

  // Calls that began on some of the threads, under a lock that those hardly ever fight for. Taken
  // after mu_.
  struct alignas(kCacheLineBytes) Stripe {
    mutable Mutex mu;
    // That the rest is of.
    uint64_t epoch GUARDED_BY(mu) = 0;
    OutstandingCalls outstanding GUARDED_BY(mu);
    // That ended in time and the machine does not know of yet, and when the first of them did.
    uint64_t successes GUARDED_BY(mu) = 0;
    Instant first_success GUARDED_BY(mu);

    uint8_t Begin(uint64_t now_epoch, Instant now) REQUIRES(mu);
  };

  // Whether that was all there is to do.
  bool AdmitQuietly(Call* call) EXCLUDES(mu_);
  bool RecordQuietly(const Call& call, CallOutcome outcome, bool slow, Instant now) EXCLUDES(mu_);
  // Tells the machine of the successes it does not know of.
  void TellSuccesses() REQUIRES(mu_);
  // When a call that is under way began, or before; Never() when there is none.
  Instant OldestCall() const REQUIRES(mu_);
  void OpenIfStalled(Instant now) REQUIRES(mu_);
  // What changed, for Tell once the lock is released. Last of what is done under it.
  std::optional<BreakerChange> TakeChange() REQUIRES(mu_);
  absl::Status Refuse(Instant now) REQUIRES(mu_);
  void Tell(const std::optional<BreakerChange>& change) const;

  const std::string name_;
  const BreakerOptions options_;
  const Clock& clock_;
  const Observer observer_;

  std::array<Stripe, kStripes> stripes_;
  // The machine's epoch while it is quiet, and until when no call can have stalled.
  std::atomic<uint64_t> quiet_epoch_ = kNotQuiet;
  std::atomic<Instant> no_stall_before_{Instant()};

  mutable Mutex mu_;
  BreakerMachine machine_ GUARDED_BY(mu_);
  const absl::Duration slice_;
  uint64_t opened_ GUARDED_BY(mu_) = 0;
  uint64_t rejected_ GUARDED_BY(mu_) = 0;
};

}  // namespace sluice
