// Circuit breakers: every change of state, each option at its edge, and many threads at once.
#include "core/flow/circuit_breaker.h"

#include <atomic>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Instant kWindowStart(1'000'000'000);

// Nothing opens it unless a test says what.
BreakerOptions Never() {
  BreakerOptions options;
  options.minimum_calls = 1;
  options.failure_ratio = 0;
  options.consecutive_failures = 0;
  options.slow_ratio = 0;
  options.stalled_call = absl::ZeroDuration();
  return options;
}

class CircuitBreakerTest : public testing::Test {
 protected:
  void Make(const BreakerOptions& options) {
    ASSERT_TRUE(Validate(options, "breaker").ok()) << Validate(options, "breaker");
    breaker_ = std::make_unique<CircuitBreaker>(
        "the store", options, clock_, [this](const BreakerChange& change) {
          // Would deadlock under the lock.
          EXPECT_EQ(breaker_->state(), change.to);
          changes_.push_back(std::string(ToString(change.to)) + ": " +
                             std::string(ToString(change.cause)));
          open_times_.push_back(change.open_time);
        });
  }
  // One call; false when it was refused.
  bool Do(CallOutcome outcome, absl::Duration takes = absl::ZeroDuration()) {
    const auto call = breaker_->Admit();
    if (!call.ok()) return false;
    clock_.Advance(takes);
    breaker_->Record(*call, outcome);
    return true;
  }
  bool Succeed(int times = 1) {
    bool all = true;
    for (int i = 0; i < times; ++i) all &= Do(CallOutcome::kSuccess);
    return all;
  }
  bool Fail(int times = 1) {
    bool all = true;
    for (int i = 0; i < times; ++i) all &= Do(CallOutcome::kFailure);
    return all;
  }
  BreakerState state() const { return breaker_->state(); }

  ManualClock clock_;
  std::unique_ptr<CircuitBreaker> breaker_;
  std::vector<std::string> changes_;
  std::vector<absl::Duration> open_times_;
};

TEST_F(CircuitBreakerTest, OpensAfterFailuresInARowAndNotBefore) {
  BreakerOptions options = Never();
  options.consecutive_failures = 3;
  Make(options);
  EXPECT_TRUE(Fail(2));
  EXPECT_TRUE(Succeed());
  EXPECT_TRUE(Fail(2));
  EXPECT_EQ(state(), BreakerState::kClosed);
  EXPECT_TRUE(Fail());
  EXPECT_EQ(state(), BreakerState::kOpen);
  EXPECT_THAT(changes_, ElementsAre("open: failures one after the other"));
  EXPECT_FALSE(Succeed());
}

TEST_F(CircuitBreakerTest, ARefusalSaysWhyAndWhenToTryAgain) {
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  options.open_time = absl::Seconds(4);
  Make(options);
  Fail();
  clock_.Advance(absl::Seconds(1) + absl::Microseconds(1));
  const absl::Status refused = breaker_->Admit().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(refused), Reason::kCircuitOpen);
  EXPECT_EQ(RetryDelayOf(refused), absl::Seconds(3)) << "rounded up to milliseconds";
  EXPECT_EQ(breaker_->snapshot().rejected, 1u);
  EXPECT_EQ(breaker_->snapshot().opened, 1u);
}

TEST_F(CircuitBreakerTest, TheRatioSaysNothingBeforeTheMinimumOfCalls) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  options.minimum_calls = 10;
  Make(options);
  Fail(4);
  Succeed(4);
  Fail(1);
  EXPECT_EQ(state(), BreakerState::kClosed) << "5 of 9 failed";
  Succeed(1);
  EXPECT_EQ(state(), BreakerState::kOpen) << "5 of 10 failed";
  EXPECT_THAT(changes_, ElementsAre("open: too many failures"));
}

TEST_F(CircuitBreakerTest, ARatioJustBelowTheLimitKeepsItClosed) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  options.minimum_calls = 10;
  Make(options);
  Succeed(100);
  Fail(99);
  EXPECT_EQ(state(), BreakerState::kClosed);
  Fail(1);
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, WhatIsOlderThanTheWindowIsForgotten) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  options.minimum_calls = 10;
  options.window = absl::Seconds(10);
  Make(options);
  Fail(9);
  clock_.Advance(absl::Seconds(9));
  Succeed(1);
  EXPECT_EQ(state(), BreakerState::kOpen) << "9 of 10 within the window";
  Make(options);
  Fail(9);
  clock_.Advance(absl::Seconds(10));
  Succeed(1);
  EXPECT_EQ(state(), BreakerState::kClosed);
  Fail(9);
  EXPECT_EQ(state(), BreakerState::kOpen) << "9 of 10 again";
}

TEST_F(CircuitBreakerTest, OpensOnSlowCallsAlthoughTheySucceed) {
  BreakerOptions options = Never();
  options.slow_ratio = 0.5;
  options.slow_call = absl::Milliseconds(100);
  options.minimum_calls = 4;
  Make(options);
  Do(CallOutcome::kSuccess, absl::Milliseconds(99));
  Do(CallOutcome::kSuccess, absl::Milliseconds(99));
  Do(CallOutcome::kSuccess, absl::Milliseconds(100));
  EXPECT_EQ(state(), BreakerState::kClosed);
  Do(CallOutcome::kSuccess, absl::Milliseconds(100));
  EXPECT_EQ(state(), BreakerState::kOpen);
  EXPECT_THAT(changes_, ElementsAre("open: too many slow calls"));
}

TEST_F(CircuitBreakerTest, ASlowProbeIsAFailedOne) {
  BreakerOptions options = Never();
  options.slow_ratio = 1;
  options.slow_call = absl::Milliseconds(100);
  Make(options);
  Do(CallOutcome::kSuccess, absl::Milliseconds(100));
  clock_.Advance(options.open_time);
  EXPECT_TRUE(Do(CallOutcome::kSuccess, absl::Milliseconds(100)));
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, ACallThatDoesNotEndOpensItWithTheNextOne) {
  BreakerOptions options = Never();
  options.stalled_call = absl::Seconds(5);
  Make(options);
  const auto stuck = breaker_->Admit();
  clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_TRUE(Succeed()) << "not yet too long";
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_FALSE(Succeed());
  EXPECT_THAT(changes_, ElementsAre("open: a call does not end"));
  // It belongs to the time before.
  breaker_->Record(*stuck, CallOutcome::kFailure);
  clock_.Advance(options.open_time);
  EXPECT_TRUE(Succeed());
  EXPECT_EQ(state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, ACallThatDoesNotEndOpensItByTimeAlone) {
  BreakerOptions options = Never();
  options.stalled_call = absl::Seconds(5);
  Make(options);
  EXPECT_FALSE(breaker_->Tick()) << "nothing to watch";
  const auto stuck = breaker_->Admit();
  EXPECT_TRUE(breaker_->Tick());
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(breaker_->Tick());
  EXPECT_EQ(state(), BreakerState::kOpen);
  clock_.Advance(options.open_time);
  EXPECT_FALSE(breaker_->Tick());
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
}

// Between two calls that end there is always one under way, but never the same for long.
TEST_F(CircuitBreakerTest, OverlappingCallsThatEndAreNoStall) {
  BreakerOptions options = Never();
  options.stalled_call = absl::Seconds(5);
  Make(options);
  auto before = breaker_->Admit();
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(absl::Seconds(2));
    auto next = breaker_->Admit();
    ASSERT_TRUE(next.ok());
    clock_.Advance(absl::Milliseconds(499));
    breaker_->Record(*before, CallOutcome::kSuccess);
    before = next;
  }
  EXPECT_EQ(state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, AStallIsSeenAmongCallsThatEnd) {
  BreakerOptions options = Never();
  options.stalled_call = absl::Seconds(5);
  Make(options);
  auto before = breaker_->Admit();
  const auto stuck = breaker_->Admit();
  absl::Duration passed;
  while (state() == BreakerState::kClosed && passed < absl::Seconds(20)) {
    clock_.Advance(absl::Seconds(1));
    passed += absl::Seconds(1);
    auto next = breaker_->Admit();
    breaker_->Record(*before, CallOutcome::kSuccess);
    if (!next.ok()) break;
    before = next;
  }
  EXPECT_GE(passed, absl::Seconds(5));
  EXPECT_LE(passed, absl::Seconds(10));
}

TEST_F(CircuitBreakerTest, AStalledProbeOpensItAgain) {
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  options.stalled_call = absl::Seconds(5);
  Make(options);
  Fail();
  clock_.Advance(options.open_time);
  ASSERT_TRUE(breaker_->Admit().ok());
  EXPECT_FALSE(Succeed()) << "the one probe is under way";
  clock_.Advance(absl::Seconds(5));
  EXPECT_FALSE(Succeed());
  EXPECT_THAT(changes_, ElementsAre("open: failures one after the other",
                                    "half-open: time for probes", "open: a call does not end"));
}

TEST_F(CircuitBreakerTest, ProbesThatSucceedCloseIt) {
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  options.probes = 3;
  Make(options);
  Fail();
  clock_.Advance(options.open_time - absl::Nanoseconds(1));
  EXPECT_FALSE(Succeed());
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_TRUE(Succeed(2));
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
  EXPECT_TRUE(Succeed());
  EXPECT_EQ(state(), BreakerState::kClosed);
  EXPECT_THAT(changes_, ElementsAre("open: failures one after the other",
                                    "half-open: time for probes", "closed: probes succeeded"));
}

TEST_F(CircuitBreakerTest, ProbesAreJudgedByTheRatio) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  options.probes = 4;
  Make(options);
  Fail();
  clock_.Advance(options.open_time);
  Fail();
  EXPECT_TRUE(Succeed(2));
  EXPECT_EQ(state(), BreakerState::kHalfOpen) << "one that fails would make it half of them";
  EXPECT_TRUE(Succeed());
  EXPECT_EQ(state(), BreakerState::kClosed);
  Fail();
  clock_.Advance(options.open_time * 2);
  Fail(2);
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, NoMoreProbesThanAllowedAndOneForEachThatSaysNothing) {
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  options.probes = 2;
  Make(options);
  Fail();
  clock_.Advance(options.open_time);
  const auto first = breaker_->Admit();
  const auto second = breaker_->Admit();
  ASSERT_TRUE(first.ok() && second.ok());
  const absl::Status refused = breaker_->Admit().status();
  EXPECT_EQ(ReasonOf(refused), Reason::kCircuitOpen);
  EXPECT_EQ(RetryDelayOf(refused), options.open_time);
  breaker_->Record(*first, CallOutcome::kIgnored);
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
  EXPECT_TRUE(Succeed());
  EXPECT_FALSE(Succeed());
  breaker_->Record(*second, CallOutcome::kSuccess);
  EXPECT_EQ(state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, WhatSaysNothingIsNotCounted) {
  BreakerOptions options = Never();
  options.consecutive_failures = 2;
  options.failure_ratio = 0.9;
  Make(options);
  Succeed();
  Fail();
  for (int i = 0; i < 100; ++i) Do(CallOutcome::kIgnored);
  Fail();
  EXPECT_EQ(state(), BreakerState::kOpen) << "two in a row";
}

TEST_F(CircuitBreakerTest, OpenTimeDoublesUpToItsMaximumAndIsForgottenAfterAGoodWhile) {
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  options.open_time = absl::Seconds(1);
  options.max_open_time = absl::Seconds(3);
  options.forget_after = absl::Seconds(60);
  Make(options);
  const auto open_time = [&] { return breaker_->snapshot().retry_delay; };
  Fail();
  EXPECT_EQ(open_time(), absl::Seconds(1));
  clock_.Advance(open_time());
  Fail();
  EXPECT_EQ(open_time(), absl::Seconds(2));
  clock_.Advance(open_time());
  Fail();
  EXPECT_EQ(open_time(), absl::Seconds(3)) << "not 4";
  clock_.Advance(open_time());
  EXPECT_TRUE(Succeed());
  clock_.Advance(absl::Seconds(60) - absl::Nanoseconds(1));
  Fail();
  EXPECT_EQ(open_time(), absl::Seconds(3)) << "closed for less than a minute";
  clock_.Advance(open_time());
  EXPECT_TRUE(Succeed());
  clock_.Advance(absl::Seconds(60));
  Fail();
  EXPECT_EQ(open_time(), absl::Seconds(1));
  EXPECT_EQ(open_times_.front(), absl::Seconds(1)) << "the observer is told";
}

TEST_F(CircuitBreakerTest, ResultsOfCallsFromBeforeTheChangeSayNothing) {
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  Make(options);
  const auto good = breaker_->Admit();
  const auto bad = breaker_->Admit();
  Fail();
  clock_.Advance(options.open_time);
  const auto probe = breaker_->Admit();
  ASSERT_TRUE(probe.ok());
  breaker_->Record(*good, CallOutcome::kSuccess);
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
  breaker_->Record(*bad, CallOutcome::kFailure);
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
  breaker_->Record(*probe, CallOutcome::kSuccess);
  EXPECT_EQ(state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, FailuresFromBeforeItOpenedAreForgottenWhenItCloses) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  options.minimum_calls = 2;
  options.open_time = absl::Milliseconds(10);
  Make(options);
  Fail(2);
  clock_.Advance(options.open_time);
  EXPECT_TRUE(Succeed());
  Succeed(2);
  Fail(1);
  EXPECT_EQ(state(), BreakerState::kClosed) << "1 of 3 since then";
}

TEST_F(CircuitBreakerTest, ADroppedPermitSaysNothingAndGivesItsPlaceBack) {
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  Make(options);
  { CircuitBreaker::Permit(*breaker_).Record(CallOutcome::kFailure); }
  EXPECT_EQ(state(), BreakerState::kOpen);
  EXPECT_EQ(ReasonOf(CircuitBreaker::Permit(*breaker_).status()), Reason::kCircuitOpen);
  clock_.Advance(options.open_time);
  {
    const CircuitBreaker::Permit probe(*breaker_);
    EXPECT_TRUE(probe.ok());
    EXPECT_FALSE(CircuitBreaker::Permit(*breaker_).ok());
  }
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
  CircuitBreaker::Permit probe(*breaker_);
  probe.Record(CallOutcome::kSuccess);
  probe.Record(CallOutcome::kFailure);
  EXPECT_EQ(state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerTest, OneOfManyThreadsGetsTheProbe) {
  constexpr int kThreads = 8;
  BreakerOptions options = Never();
  options.consecutive_failures = 1;
  Make(options);
  Fail();
  changes_.clear();
  clock_.Advance(options.open_time);
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) admitted += breaker_->Admit().ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, 1);
  EXPECT_EQ(breaker_->snapshot().rejected, kThreads * 1000u - 1);
  EXPECT_THAT(changes_, ElementsAre("half-open: time for probes"));
}

TEST_F(CircuitBreakerTest, ManyThreadsAndTheCallsUnderWayAddUp) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  options.stalled_call = absl::Seconds(5);
  Make(options);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 2000; ++n) Do(n % 4 == 0 ? CallOutcome::kIgnored : CallOutcome::kSuccess);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(breaker_->Tick()) << "none is under way any more";
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(CircuitBreakerTest, WhatSucceedsOnOtherThreadsCounts) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  Make(options);
  std::vector<std::thread> threads;
  for (int i = 0; i < 2 * static_cast<int>(kStripes); ++i)
    threads.emplace_back([&] { Succeed(5); });
  for (std::thread& thread : threads) thread.join();
  const int succeeded = 5 * static_cast<int>(threads.size());
  EXPECT_TRUE(Fail(succeeded - 1));
  EXPECT_EQ(state(), BreakerState::kClosed) << "a little less than half of them failed";
  EXPECT_TRUE(Fail());
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, WhatSucceededLongAgoDoesNotCountForHavingBeenQuiet) {
  BreakerOptions options = Never();
  options.failure_ratio = 0.5;
  Make(options);
  EXPECT_TRUE(Succeed(100));
  clock_.Advance(options.window * 2);
  EXPECT_TRUE(Fail());
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, ACallOfAnotherThreadThatDoesNotEndOpensIt) {
  BreakerOptions options = Never();
  options.stalled_call = absl::Seconds(5);
  Make(options);
  std::thread([&] { EXPECT_TRUE(breaker_->Admit().ok()); }).join();
  clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_TRUE(Succeed(100));
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_FALSE(Succeed());
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST(BreakerOptionsTest, EachLimitIsCheckedAtItsEdgeAndNamed) {
  EXPECT_TRUE(Validate(BreakerOptions(), "breaker").ok());
  const auto check = [](std::string field, auto set, auto good, auto bad) {
    BreakerOptions options;
    options.max_open_time = absl::Hours(24);
    set(options, good);
    EXPECT_TRUE(Validate(options, "breaker").ok()) << Validate(options, "breaker");
    set(options, bad);
    const absl::Status refused = Validate(options, "breaker");
    EXPECT_EQ(ReasonOf(refused), Reason::kInvalidBreakerPolicy) << field;
    const ErrorMetadata metadata = MetadataOf(refused);
    ASSERT_EQ(metadata.size(), 3u) << field;
    EXPECT_EQ(metadata[0].second, "breaker." + field);
  };
  const absl::Duration tick = absl::Nanoseconds(1);
  const auto window = [](auto& o, auto v) { o.window = v; };
  check("window", window, absl::Milliseconds(10), absl::Milliseconds(10) - tick);
  check("window", window, absl::Hours(1), absl::Hours(1) + tick);
  check(
      "minimum_calls", [](auto& o, auto v) { o.minimum_calls = v; }, 1u, 0u);
  check(
      "minimum_calls", [](auto& o, auto v) { o.minimum_calls = v; }, 1'000'000u, 1'000'001u);
  check(
      "failure_ratio", [](auto& o, auto v) { o.failure_ratio = v; }, 0.0, -0.001);
  check(
      "failure_ratio", [](auto& o, auto v) { o.failure_ratio = v; }, 1.0, 1.001);
  check(
      "failure_ratio", [](auto& o, auto v) { o.failure_ratio = v; }, 1.0,
      std::numeric_limits<double>::quiet_NaN());
  check(
      "consecutive_failures", [](auto& o, auto v) { o.consecutive_failures = v; }, 1'000'000u,
      1'000'001u);
  check(
      "slow_ratio", [](auto& o, auto v) { o.slow_ratio = v; }, 1.0, 1.001);
  check(
      "slow_call", [](auto& o, auto v) { o.slow_call = v; }, absl::Milliseconds(1),
      absl::Milliseconds(1) - tick);
  check(
      "slow_call", [](auto& o, auto v) { o.slow_call = v; }, absl::Hours(1),
      absl::InfiniteDuration());
  check(
      "stalled_call", [](auto& o, auto v) { o.stalled_call = v; }, absl::ZeroDuration(), -tick);
  check(
      "stalled_call", [](auto& o, auto v) { o.stalled_call = v; }, absl::Hours(1),
      absl::Hours(1) + tick);
  check(
      "open_time", [](auto& o, auto v) { o.open_time = v; }, absl::Milliseconds(1),
      absl::Milliseconds(1) - tick);
  check(
      "open_time", [](auto& o, auto v) { o.open_time = v; }, absl::Hours(24),
      absl::Hours(24) + tick);
  check(
      "max_open_time", [](auto& o, auto v) { o.max_open_time = v; }, absl::Hours(24),
      absl::Hours(24) + tick);
  check(
      "forget_after", [](auto& o, auto v) { o.forget_after = v; }, absl::ZeroDuration(), -tick);
  check(
      "forget_after", [](auto& o, auto v) { o.forget_after = v; }, absl::Hours(24),
      absl::Hours(24) + tick);
  check(
      "probes", [](auto& o, auto v) { o.probes = v; }, 1u, 0u);
  check(
      "probes", [](auto& o, auto v) { o.probes = v; }, 10'000u, 10'001u);
}

TEST(RollingWindowTest, SumsWhatIsWithinItAndLetsGoSliceBySlice) {
  RollingWindow window(absl::Seconds(10));
  for (int i = 0; i < 10; ++i) window.Add({1, 1, 0}, kWindowStart + absl::Seconds(i));
  EXPECT_EQ(window.sum().calls, 10u);
  window.Forget(kWindowStart + absl::Seconds(12));
  EXPECT_EQ(window.sum().calls, 7u);
  // Told late: counts as of when it was, while that is remembered.
  window.Add({1, 0, 0}, kWindowStart + absl::Seconds(5));
  EXPECT_EQ(window.sum().calls, 8u);
  window.Add({1, 0, 0}, kWindowStart);
  EXPECT_EQ(window.sum().calls, 8u);
  window.Forget(kWindowStart + absl::Seconds(15));
  EXPECT_EQ(window.sum().calls, 4u);
  window.Forget(kWindowStart + absl::Hours(1));
  EXPECT_EQ(window.sum().calls, 0u);
  EXPECT_EQ(window.sum().failures, 0u);
}

TEST(RollingWindowTest, TakesOutWhatIsOfAPartOfTheCalls) {
  RollingWindow all(absl::Seconds(10));
  RollingWindow part(absl::Seconds(10));
  for (int i = 0; i < 20; ++i) {
    const Instant now = kWindowStart + absl::Seconds(i);
    if (i < 15) {
      part.Add({2, 2, 0}, now);
      all.Add({2, 2, 0}, now);
    }
    all.Add({1, 0, 1}, now);
  }
  EXPECT_EQ(all.sum().calls, 20u) << "of the last ten seconds";
  all.Subtract(part);
  EXPECT_EQ(all.sum().calls, 10u);
  EXPECT_EQ(all.sum().failures, 0u);
  EXPECT_EQ(all.sum().slow, 10u);
  all.Forget(kWindowStart + absl::Seconds(24));
  EXPECT_EQ(all.sum().calls, 5u);
}

}  // namespace
}  // namespace sluice
