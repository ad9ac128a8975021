#include "core/flow/breaker_machine.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice {
namespace {

// 0 stands for never.
bool Reaches(uint64_t part, uint64_t whole, double ratio) {
  return part > 0 && ratio > 0 && static_cast<double>(part) >= ratio * static_cast<double>(whole);
}

}  // namespace

std::string_view ToString(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return "closed";
    case BreakerState::kOpen:
      return "open";
    case BreakerState::kHalfOpen:
      break;
  }
  return "half-open";
}

std::string_view ToString(BreakerCause cause) {
  switch (cause) {
    case BreakerCause::kNone:
      return "none";
    case BreakerCause::kFailureRatio:
      return "too many failures";
    case BreakerCause::kConsecutiveFailures:
      return "failures one after the other";
    case BreakerCause::kSlowRatio:
      return "too many slow calls";
    case BreakerCause::kStalledCall:
      return "a call does not end";
    case BreakerCause::kProbesFailed:
      return "probes failed";
    case BreakerCause::kOpenTimePassed:
      return "time for probes";
    case BreakerCause::kProbesSucceeded:
      return "probes succeeded";
    case BreakerCause::kCallersGone:
      break;
  }
  return "those who failed are gone";
}

uint64_t BreakerMachine::Available(Instant now) {
  Tick(now);
  switch (state_) {
    case BreakerState::kClosed:
      return std::numeric_limits<uint64_t>::max();
    case BreakerState::kHalfOpen:
      return probes_left_;
    case BreakerState::kOpen:
      break;
  }
  return 0;
}

uint64_t BreakerMachine::Admit(uint64_t wanted, Instant now) {
  const uint64_t admitted = std::min(wanted, Available(now));
  if (state_ == BreakerState::kHalfOpen) probes_left_ -= admitted;
  return admitted;
}

void BreakerMachine::Record(const CallCounts& ended, Instant now) {
  if (state_ == BreakerState::kClosed) RecordClosed(ended, now);
  if (state_ == BreakerState::kHalfOpen) RecordProbes(ended, now);
}

void BreakerMachine::GiveBack(uint64_t calls) {
  if (state_ == BreakerState::kHalfOpen) probes_left_ += calls;
}

void BreakerMachine::Stalled(Instant now) {
  if (state_ != BreakerState::kOpen) Open(BreakerCause::kStalledCall, now);
}

void BreakerMachine::Tick(Instant now) {
  if (state_ != BreakerState::kOpen || now < open_until()) return;
  probes_left_ = options_.probes;
  probed_ = {};
  Become(BreakerState::kHalfOpen, BreakerCause::kOpenTimePassed, now);
}

absl::Duration BreakerMachine::RetryDelay(Instant now) const {
  if (state_ == BreakerState::kClosed) return absl::ZeroDuration();
  // Half-open: nobody knows when the probes end, but then it will not take long.
  const absl::Duration wait =
      state_ == BreakerState::kOpen ? open_until() - now : options_.open_time;
  return std::max(absl::Ceil(wait, absl::Milliseconds(1)), absl::Milliseconds(1));
}

void BreakerMachine::RecordClosed(const CallCounts& ended, Instant now) {
  window_.Add(ended, now);
  failures_in_a_row_ = ended.failures == ended.calls ? failures_in_a_row_ + ended.failures : 0;
  const CallCounts& sum = window_.sum();
  if (options_.consecutive_failures > 0 && failures_in_a_row_ >= options_.consecutive_failures) {
    Open(BreakerCause::kConsecutiveFailures, now);
  } else if (TooManyFailed()) {
    Open(BreakerCause::kFailureRatio, now);
  } else if (sum.calls >= options_.minimum_calls &&
             Reaches(sum.slow, sum.calls, options_.slow_ratio)) {
    Open(BreakerCause::kSlowRatio, now);
  }
}

bool BreakerMachine::TooManyFailed() const {
  const CallCounts& sum = window_.sum();
  return sum.calls >= options_.minimum_calls &&
         Reaches(sum.failures, sum.calls, options_.failure_ratio);
}

void BreakerMachine::Forget(const RollingWindow& calls, Instant now) {
  window_.Subtract(calls);
  if (state_ == BreakerState::kClosed || TooManyFailed()) return;
  window_.Clear();
  failures_in_a_row_ = 0;
  open_time_ = absl::ZeroDuration();
  Become(BreakerState::kClosed, BreakerCause::kCallersGone, now);
}

void BreakerMachine::RecordProbes(const CallCounts& ended, Instant now) {
  probed_.calls += ended.calls;
  const bool slow_fails = options_.slow_ratio > 0;
  probed_.failures += slow_fails ? std::max(ended.failures, ended.slow) : ended.failures;
  const uint64_t enough = FailuresToOpen();
  if (probed_.failures >= enough) {
    Open(BreakerCause::kProbesFailed, now);
  } else if (probed_.calls - probed_.failures > options_.probes - enough) {
    window_.Clear();
    failures_in_a_row_ = 0;
    Become(BreakerState::kClosed, BreakerCause::kProbesSucceeded, now);
  }
}

uint64_t BreakerMachine::FailuresToOpen() const {
  const double failures = std::ceil(options_.failure_ratio * static_cast<double>(options_.probes));
  return std::max<uint64_t>(1, static_cast<uint64_t>(failures));
}

void BreakerMachine::Open(BreakerCause cause, Instant now) {
  const bool forgotten = state_ == BreakerState::kClosed && now - since_ >= options_.forget_after;
  const bool first = open_time_ == absl::ZeroDuration() || forgotten;
  open_time_ = first ? options_.open_time : std::min(open_time_ * 2, options_.max_open_time);
  Become(BreakerState::kOpen, cause, now);
  change_->open_time = open_time_;
}

void BreakerMachine::Become(BreakerState state, BreakerCause cause, Instant now) {
  change_ = {state_, state, cause, absl::ZeroDuration()};
  state_ = state;
  cause_ = cause;
  since_ = now;
  ++epoch_;
}

}  // namespace sluice
