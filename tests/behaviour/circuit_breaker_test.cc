// The circuit breaker around a store that fails or hangs.
#include <string>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/faulty_backend.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CircuitBreakerBehaviour : public EngineFixture {
 protected:
  void SetUp() override {
    ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
    OpenWith(options_);
    ASSERT_TRUE(CreateTopic("orders").ok());
    ASSERT_TRUE(CreateTopic("other").ok());
  }
  void TearDown() override {
    faults_.Resume();
    engine_ = nullptr;
  }

  void OpenWith(const BreakerOptions& breaker) {
    EngineOptions options;
    options.run_timers = false;
    options.store_breaker = breaker;
    options.on_breaker = [this](const BreakerEvent& event) {
      events_.push_back(std::string(ToString(event.change.to)) + ": " +
                        std::string(ToString(event.change.cause)));
    };
    auto engine = Engine::Open(
        std::make_unique<FaultyBackend>(std::make_unique<MemoryBackend>(store_), faults_), clock_,
        metrics_, options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }
  std::optional<Reason> Try(std::string_view topic = "orders") {
    return ReasonOf(Publish(topic, {"a"}).status());
  }
  // A batch that its publisher gives up after `timeout`.
  void PublishWithin(
      absl::Duration timeout, Topic::PublishDone done = [](const auto&) {}) {
    Ref<Batch> batch = MakeBatch({"a"});
    batch->set_deadline(clock_.Now() + timeout);
    FindTopic("orders")->Publish(std::move(batch), std::move(done));
  }
  void OpenByFailing() {
    faults_.FailWith(Error(Reason::kStorageUnavailable, "broken"));
    for (uint32_t i = 0; i < options_.consecutive_failures; ++i)
      EXPECT_EQ(Try(), Reason::kStorageUnavailable);
    EXPECT_EQ(state(), BreakerState::kOpen);
  }
  BreakerState state() const { return engine_->store_breaker().state; }
  const BreakerMetrics& counted() const { return metrics_.engine.store_breaker; }

  const BreakerOptions options_ = {};
  FaultyBackend::Switch faults_;
  std::vector<std::string> events_;
};

TEST_F(CircuitBreakerBehaviour, AFailingStoreMakesPublishesFailFastWithARetryDelay) {
  OpenByFailing();
  const int tried = faults_.appends();
  const absl::Status refused = Publish("orders", {"a"}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(refused), Reason::kCircuitOpen);
  EXPECT_EQ(RetryDelayOf(refused), options_.open_time);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the store is open"));
  EXPECT_EQ(Try("other"), Reason::kCircuitOpen) << "they share the store";
  EXPECT_EQ(faults_.appends(), tried) << "the store is left alone";
  EXPECT_EQ(counted().rejections.value(), 2u);
  EXPECT_EQ(counted().changes[static_cast<size_t>(BreakerState::kOpen)].value(), 1u);
}

TEST_F(CircuitBreakerBehaviour, RecoversByItselfThroughAProbe) {
  OpenByFailing();
  Advance(options_.open_time);
  EXPECT_EQ(state(), BreakerState::kHalfOpen) << "without a publish: readiness depends on it";
  EXPECT_EQ(Try(), Reason::kStorageUnavailable);
  EXPECT_EQ(Try(), Reason::kCircuitOpen);
  faults_.Heal();
  Advance(options_.open_time * 2);
  EXPECT_TRUE(Publish("orders", {"a"}).ok());
  EXPECT_TRUE(Publish("orders", {"b"}).ok());
  EXPECT_THAT(events_, ElementsAre("open: failures one after the other",
                                   "half-open: time for probes", "open: probes failed",
                                   "half-open: time for probes", "closed: probes succeeded"));
  EXPECT_EQ(FindTopic("orders")->log().extent().next, Offset(3))
      << "what was refused is not stored";
}

TEST_F(CircuitBreakerBehaviour, AStoreThatHangsMakesPublishesFailFast) {
  faults_.Stall();
  absl::StatusOr<Published> first = absl::UnknownError("no answer");
  FindTopic("orders")->Publish(MakeBatch({"a"}), [&](const auto& published) { first = published; });
  clock_.Advance(options_.stalled_call);
  EXPECT_EQ(Try(), Reason::kCircuitOpen);
  EXPECT_TRUE(absl::IsUnknown(first.status())) << "its fate is not known yet";
  EXPECT_THAT(events_, ElementsAre("open: a call does not end"));
  faults_.Resume();
  EXPECT_TRUE(first.ok());
  EXPECT_EQ(state(), BreakerState::kOpen) << "what began before says nothing";
  Advance(options_.open_time);
  EXPECT_TRUE(Publish("orders", {"b"}).ok());
  EXPECT_EQ(state(), BreakerState::kClosed);
}

// Publishers that wait for their answers send nothing that could find it out.
TEST_F(CircuitBreakerBehaviour, AStoreThatHangsIsSeenWithoutAnotherPublish) {
  faults_.Stall();
  FindTopic("orders")->Publish(MakeBatch({"a"}), [](const auto&) {});
  for (absl::Duration d; d < options_.stalled_call - absl::Seconds(1); d += absl::Seconds(1))
    Advance(absl::Seconds(1));
  EXPECT_EQ(state(), BreakerState::kClosed);
  Advance(absl::Seconds(1) + StoreBreaker::kWatchInterval);
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerBehaviour, AProbeThatHangsOpensItAgain) {
  OpenByFailing();
  faults_.Stall();
  Advance(options_.open_time);
  FindTopic("orders")->Publish(MakeBatch({"a"}), [](const auto&) {});
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
  Advance(options_.stalled_call + StoreBreaker::kWatchInterval);
  EXPECT_EQ(state(), BreakerState::kOpen);
  EXPECT_EQ(engine_->store_breaker().retry_delay, options_.open_time * 2);
}

TEST_F(CircuitBreakerBehaviour, AFullStoreKeepsItsOwnReason) {
  faults_.FailWith(Error(Reason::kStorageFull, "full"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Try(), Reason::kStorageFull);
  EXPECT_EQ(state(), BreakerState::kClosed);
  OpenByFailing();
  faults_.FailWith(Error(Reason::kStorageFull, "full"));
  Advance(options_.open_time);
  EXPECT_EQ(Try(), Reason::kStorageFull);
  EXPECT_EQ(state(), BreakerState::kClosed) << "it answers";
}

TEST_F(CircuitBreakerBehaviour, MistakesOfPublishersDoNotCount) {
  for (const Reason reason :
       {Reason::kTopicDeleted, Reason::kProducerFenced, Reason::kTooMuchInFlight}) {
    faults_.FailWith(Error(reason, "not the store's fault"));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(Try(), reason);
  }
  auto deleted = FindTopic("other");
  deleted->SetDeleted(true);
  for (int i = 0; i < 100; ++i) {
    deleted->Publish(MakeBatch({"a"}), [](const auto& p) {
      EXPECT_EQ(ReasonOf(p.status()), Reason::kTopicNotFound);
    });
  }
  EXPECT_EQ(state(), BreakerState::kClosed);
  EXPECT_EQ(counted().rejections.value(), 0u);
}

TEST_F(CircuitBreakerBehaviour, DeadlinesOfPublishersDoNotCount) {
  for (int i = 0; i < 1000; ++i) {
    PublishWithin(-absl::Microseconds(1), [](const auto& p) {
      EXPECT_EQ(ReasonOf(p.status()), Reason::kDeadlineExceeded);
    });
    ASSERT_TRUE(Publish("other", {"b"}).ok()) << "somebody else's, after " << i;
  }
  EXPECT_EQ(state(), BreakerState::kClosed);
  EXPECT_EQ(counted().rejections.value(), 0u);
}

TEST_F(CircuitBreakerBehaviour, ADeadlineThatPassesWhileItIsProbedGivesItsPlaceToAnother) {
  OpenByFailing();
  faults_.Heal();
  Advance(options_.open_time);
  PublishWithin(-absl::Microseconds(1));
  EXPECT_EQ(state(), BreakerState::kHalfOpen);
  EXPECT_TRUE(Publish("orders", {"b"}).ok());
  EXPECT_EQ(state(), BreakerState::kClosed);
}

TEST_F(CircuitBreakerBehaviour, AStoreThatHangsIsSeenThroughDeadlinesOfPublishersAlone) {
  faults_.Stall();
  for (int i = 0; i < 50; ++i) {
    PublishWithin(absl::Milliseconds(50));
    Advance(StoreBreaker::kWatchInterval);
  }
  Advance(StoreBreaker::kWatchInterval);
  EXPECT_EQ(state(), BreakerState::kOpen);
  EXPECT_THAT(events_, ElementsAre("open: a call does not end"));
}

TEST_F(CircuitBreakerBehaviour, AStoreThatBeginsWritesTooLateForPatientPublishersIsSlow) {
  faults_.Stall();
  for (uint32_t i = 0; i < options_.minimum_calls; ++i) PublishWithin(options_.slow_call);
  clock_.Advance(options_.slow_call);
  faults_.Resume();
  EXPECT_THAT(events_, ElementsAre("open: too many slow calls"));
}

TEST_F(CircuitBreakerBehaviour, DeliveryGoesOnWhilePublishesAreRefused) {
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  ASSERT_TRUE(Publish("orders", {"before"}).ok());
  OpenByFailing();
  auto wired = Connect("billing");
  const auto got = wired.consumer->Take();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(wired.subscription->Ack(wired.id, Leases(got)), 1u);
}

TEST_F(CircuitBreakerBehaviour, RefusedPublishesDoNotHoldUpTheShutdown) {
  OpenByFailing();
  EXPECT_EQ(Try(), Reason::kCircuitOpen);
  EXPECT_TRUE(engine_->Shutdown(absl::ZeroDuration()).ok());
}

TEST_F(CircuitBreakerBehaviour, AnIdleEngineSetsNoTimers) {
  const Instant retention = engine_->timers().NextDue();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  EXPECT_LT(engine_->timers().NextDue(), retention);
  Advance(StoreBreaker::kWatchInterval);
  EXPECT_EQ(engine_->timers().NextDue(), retention);
}

TEST_F(CircuitBreakerBehaviour, OptionsOutOfBoundsAreRefused) {
  EngineOptions options;
  options.store_breaker.probes = 0;
  const auto engine = Engine::Open(std::make_unique<MemoryBackend>(), clock_, metrics_, options);
  EXPECT_EQ(ReasonOf(engine.status()), Reason::kInvalidBreakerPolicy);
}

}  // namespace
}  // namespace sluice
