// A handler that throws, returns late or never returns costs its message a redelivery, and nothing
// else.
#include <stdexcept>

#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

using PanicRecovery = BrokerFixture;

TEST_F(PanicRecovery, AHandlerThatThrowsNacksItsMessageAndIsCounted) {
  Latch handled(3);
  std::atomic<int> failures = 0;
  auto subscriber = Subscribe([&](const Message& message) {
    if (message.data() == "bad" && message.attempt() == 1) {
      ++failures;
      throw std::runtime_error("no");
    }
    handled.CountDown();
    return Verdict::Ack();
  });
  Publish({"good", "bad", "also good"});
  WaitUntil([&] { return stats().nacked_messages == 1 && stats().acked_messages == 2; });
  WaitUntil([&] { return subscriber->counters().threw == 1; });
  Advance(absl::Seconds(2));
  handled.Wait();
  WaitUntil([&] { return subscriber->counters().acked == 3; });
  EXPECT_EQ(failures, 1);
  EXPECT_EQ(subscriber->counters().nacked, 1u);
  EXPECT_EQ(broker_->metrics().handlers.threw.value(), 1u);
  WaitUntil([&] { return stats().backlog_messages == 0; });
}

TEST_F(PanicRecovery, WhateverIsThrownEndsNothing) {
  Latch handled(3);
  auto subscriber = Subscribe([&](const Message& message) -> Verdict {
    handled.CountDown();
    if (message.data() == "int") throw 7;
    if (message.data() == "text") throw "text";
    throw std::make_unique<std::string>("moved");
  });
  Publish({"int", "text", "pointer"});
  handled.Wait();
  WaitUntil([&] { return subscriber->counters().threw == 3; });
}

TEST_F(PanicRecovery, AHandlerThatReturnsLateWasNackedAndItsVerdictDoesNotCount) {
  Latch first_began(1);
  Latch first_may_return(1);
  Latch second(1);
  auto subscriber = Subscribe(
      [&](const Message& message) {
        if (message.attempt() == 1) {
          first_began.CountDown();
          first_may_return.Wait();
          return Verdict::Ack();
        }
        second.CountDown();
        return Verdict::Nack(absl::Minutes(5));
      },
      {.concurrency = 2, .handler_timeout = absl::Seconds(30)});
  Publish({"slow"});
  first_began.Wait();
  Advance(absl::Seconds(31));  // too late
  Advance(absl::Seconds(2));   // and again, after the failure delay
  second.Wait();
  first_may_return.CountDown();
  WaitUntil([&] {
    return subscriber->counters().returned_late == 1 && subscriber->counters().nacked == 2;
  });
  const SubscriberCounters counters = subscriber->counters();
  EXPECT_EQ(counters.timed_out, 1u);
  EXPECT_EQ(counters.acked, 0u);
  EXPECT_EQ(stats().backlog_messages, 1) << "the late Ack must not have settled it";
  EXPECT_EQ(broker_->metrics().handlers.returned_late.value(), 1u);
}

// What a handler that never returns refers to: it outlives the test's frame.
struct Stuck {
  Latch began{1};
  Latch go{1};
  Latch ended{1};
};

TEST_F(PanicRecovery, AHandlerThatNeverReturnsStopsNeitherTheOthersNorTheEnd) {
  auto stuck = std::make_shared<Stuck>();
  auto subscriber = Subscribe(
      [stuck](const Message& message) {
        if (message.data() != "stuck") return Verdict::Ack();
        stuck->began.CountDown();
        stuck->go.Wait();
        stuck->ended.CountDown();
        return Verdict::Ack();
      },
      {.concurrency = 2});
  Publish({"stuck"});
  stuck->began.Wait();
  Publish({"a", "b", "c"});
  WaitUntil([&] { return subscriber->counters().acked == 3; });
  EXPECT_TRUE(absl::IsDeadlineExceeded(subscriber->Close(absl::Milliseconds(20))));
  EXPECT_EQ(subscriber->counters().threads_left_behind, 1u);
  EXPECT_EQ(subscriber->counters().timed_out, 1u);
  EXPECT_EQ(broker_->metrics().handlers.threads_left_behind.value(), 1u);
  // Its message is free for others, and comes to them.
  Latch again(1);
  auto other = Subscribe([&](const Message& message) {
    EXPECT_EQ(message.attempt(), 2u);
    again.CountDown();
    return Verdict::Ack();
  });
  Advance(absl::Seconds(2));
  again.Wait();
  other = nullptr;
  subscriber = nullptr;
  EXPECT_TRUE(broker_->Close(absl::Seconds(10)).ok());
  broker_ = nullptr;
  // Everything is gone but what that thread uses.
  stuck->go.CountDown();
  stuck->ended.Wait();
}

TEST_F(PanicRecovery, AHungHandlerTakesThreadsFromItsOwnSubscriptionOnly) {
  ASSERT_TRUE(broker_->CreateSubscription("projects/test/subscriptions/audit", kTopic).ok());
  auto stuck = std::make_shared<Stuck>();
  auto hung = Subscribe(
      [stuck](const Message&) {
        stuck->began.CountDown();
        stuck->go.Wait();
        return Verdict::Ack();
      },
      {.concurrency = 1});
  Latch audited(100);
  auto audit = broker_->Subscribe("projects/test/subscriptions/audit", [&](const Message&) {
    audited.CountDown();
    return Verdict::Ack();
  });
  Publish(std::vector<std::string>(100, "x"));
  stuck->began.Wait();
  audited.Wait();
  stuck->go.CountDown();
}

TEST_F(PanicRecovery, APublishersCallbackThatThrowsIsCounted) {
  auto publisher = broker_->OpenPublisher(kTopic);
  (*publisher)->Publish({.data = "a"}, [](const auto&) { throw std::runtime_error("no"); });
  EXPECT_TRUE((*publisher)->Publish({.data = "b"}).get().ok());
  EXPECT_EQ(broker_->metrics().handlers.callbacks_threw.value(), 1u);
}

}  // namespace
}  // namespace sluice::embedded
