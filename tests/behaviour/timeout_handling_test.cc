// Deadlines of handlers and of the leases behind them, on a clock that is moved by hand.
#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

class TimeoutHandling : public BrokerFixture {
 protected:
  // One message, held by a handler until `go`.
  std::unique_ptr<Subscriber> HoldOne(SubscriberOptions options) {
    auto subscriber = Subscribe(
        [this](const Message&) {
          began_.CountDown();
          go_.Wait();
          return Verdict::Ack();
        },
        std::move(options));
    Publish({"held"});
    began_.Wait();
    return subscriber;
  }

  Latch began_{1};
  Latch go_{1};
};

TEST_F(TimeoutHandling, AHandlerIsGivenUpAtItsDeadlineAndNotBefore) {
  auto subscriber = HoldOne({.handler_timeout = absl::Seconds(30)});
  for (int i = 0; i < 29; ++i) Advance(absl::Seconds(1));
  EXPECT_EQ(subscriber->counters().timed_out, 0u);
  Advance(absl::Seconds(1));
  EXPECT_EQ(subscriber->counters().timed_out, 1u);
  EXPECT_EQ(subscriber->counters().nacked, 1u);
  EXPECT_EQ(stats().leased_messages, 0);
  EXPECT_EQ(broker_->metrics().handlers.timed_out.value(), 1u);
  go_.CountDown();
}

TEST_F(TimeoutHandling, AReturnInTimeLeavesNoTimeoutBehind) {
  auto subscriber = HoldOne({.handler_timeout = absl::Seconds(30)});
  go_.CountDown();
  WaitUntil([&] { return subscriber->counters().acked == 1; });
  Advance(absl::Seconds(60));
  EXPECT_EQ(subscriber->counters().timed_out, 0u);
  EXPECT_EQ(stats().backlog_messages, 0);
}

TEST_F(TimeoutHandling, LeasesLastAsLongAsTheHandlerRuns) {
  auto subscriber = HoldOne({.handler_timeout = absl::Minutes(5)});
  // The ack deadline is 10 s.
  for (int i = 0; i < 240; ++i) Advance(absl::Seconds(1));
  EXPECT_EQ(stats().expired_leases, 0u);
  EXPECT_EQ(stats().leased_messages, 1);
  go_.CountDown();
  WaitUntil([&] { return stats().backlog_messages == 0; });
  EXPECT_EQ(stats().redelivered_messages, 0u);
}

TEST_F(TimeoutHandling, LeasesAreNotProlongedPastTheirMaximum) {
  auto subscriber = HoldOne(
      {.concurrency = 1, .handler_timeout = absl::Hours(1), .max_lease = absl::Seconds(25)});
  for (int i = 0; i < 24; ++i) Advance(absl::Seconds(1));
  EXPECT_EQ(stats().expired_leases, 0u);
  Advance(absl::Seconds(1));
  EXPECT_EQ(stats().expired_leases, 1u);
  go_.CountDown();
}

TEST_F(TimeoutHandling, AMessageWhoseLeaseWasLostWhileItWaitedIsNotHandled) {
  auto subscriber = HoldOne(
      {.concurrency = 1, .handler_timeout = absl::Hours(1), .max_lease = absl::Seconds(20)});
  Publish({"waits"});
  // Somebody else takes it when its lease is over.
  for (int i = 0; i < 21; ++i) Advance(absl::Seconds(1));
  EXPECT_EQ(stats().expired_leases, 2u);
  EXPECT_EQ(subscriber->counters().lost, 0u);
  go_.CountDown();
  // Both come again, and are handled then; the one that waited was handled once altogether.
  WaitUntil([&] { return subscriber->counters().lost == 1; });
  WaitUntil([&] { return stats().backlog_messages == 0; });
}

TEST_F(TimeoutHandling, WithEveryThreadHungWhatWaitsGoesElsewhere) {
  auto subscriber = HoldOne({.concurrency = 1, .handler_timeout = absl::Seconds(15)});
  Publish({"waits"});
  EXPECT_EQ(stats().leased_messages, 2);
  for (int i = 0; i < 15; ++i) Advance(absl::Seconds(1));
  EXPECT_EQ(subscriber->counters().timed_out, 1u);
  EXPECT_EQ(stats().leased_messages, 0);
  Publish({"new"});
  EXPECT_EQ(stats().leased_messages, 0);
  Latch elsewhere(3);
  auto other = Subscribe([&](const Message&) {
    elsewhere.CountDown();
    return Verdict::Ack();
  });
  Advance(absl::Seconds(1));
  elsewhere.Wait();
  other = nullptr;
  Publish({"newer"});
  EXPECT_EQ(stats().leased_messages, 0);
  // One that is back takes again.
  go_.CountDown();
  WaitUntil([&] { return stats().backlog_messages == 0; });
  EXPECT_EQ(subscriber->counters().returned_late, 1u);
}

}  // namespace
}  // namespace sluice::embedded
