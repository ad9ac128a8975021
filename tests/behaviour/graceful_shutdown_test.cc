// Closing loses nothing, takes no longer than it was given, and leaves each message acknowledged or
// free for others.
#include <set>

#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

using GracefulShutdown = BrokerFixture;

TEST_F(GracefulShutdown, FinishesWhatRunsAndNacksWhatHasNotBegun) {
  Latch began(2);
  Latch go(1);
  auto subscriber = Subscribe(
      [&](const Message&) {
        began.CountDown();
        go.Wait();
        return Verdict::Ack();
      },
      {.concurrency = 2});
  Publish({"a", "b", "c", "d", "e"});
  began.Wait();
  std::thread opener([&] {
    // Close has begun once those that wait are free again.
    WaitUntil([&] { return stats().leased_messages == 2; });
    go.CountDown();
  });
  EXPECT_TRUE(subscriber->Close(absl::Minutes(1)).ok());
  opener.join();
  const SubscriberCounters counters = subscriber->counters();
  EXPECT_EQ(counters.acked, 2u);
  EXPECT_EQ(counters.not_started, 3u);
  EXPECT_EQ(counters.threads_left_behind, 0u);
  EXPECT_EQ(stats().backlog_messages, 3);
  EXPECT_EQ(stats().leased_messages, 0);
  EXPECT_EQ(stats().consumers, 0);
}

TEST_F(GracefulShutdown, WhatIsNackedAtTheEndDoesNotComeBackHere) {
  Latch began(1);
  Latch go(1);
  std::atomic<int> calls = 0;
  auto subscriber = Subscribe(
      [&](const Message&) {
        ++calls;
        began.CountDown();
        go.Wait();
        return Verdict::Ack();
      },
      {.concurrency = 1, .max_outstanding_messages = 3});
  Publish({"a", "b", "c", "d", "e"});
  began.Wait();
  std::thread opener([&] {
    WaitUntil([&] { return stats().leased_messages == 1; });
    Publish({"f"});
    EXPECT_EQ(stats().leased_messages, 1);
    go.CountDown();
  });
  EXPECT_TRUE(subscriber->Close(absl::Minutes(1)).ok());
  opener.join();
  EXPECT_EQ(calls, 1);
}

TEST_F(GracefulShutdown, EndsInTimeWithAHandlerThatDoesNotReturnAndGivesItsMessageBack) {
  auto go = std::make_shared<Latch>(1);
  auto began = std::make_shared<Latch>(1);
  auto subscriber = Subscribe([go, began](const Message&) {
    began->CountDown();
    go->Wait();
    return Verdict::Ack();
  });
  Publish({"a"});
  began->Wait();
  const SystemClock clock;
  const Instant start = clock.Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(broker_->Close(absl::Milliseconds(50))));
  EXPECT_LT(clock.Now() - start, absl::Seconds(20));
  subscriber = nullptr;
  broker_ = nullptr;
  Open();
  EXPECT_EQ(stats().backlog_messages, 1);
  Latch again(1);
  auto other = Subscribe([&](const Message& message) {
    EXPECT_EQ(message.attempt(), 2u);
    again.CountDown();
    return Verdict::Ack();
  });
  again.Wait();
  go->CountDown();
}

TEST_F(GracefulShutdown, HandlersMayPublishUntilTheyAreDone) {
  ASSERT_TRUE(broker_->CreateTopic("projects/test/topics/invoices").ok());
  auto invoices = *broker_->OpenPublisher("projects/test/topics/invoices");
  Latch began(1);
  Latch go(1);
  auto subscriber = Subscribe([&](const Message&) {
    began.CountDown();
    go.Wait();
    return invoices->Publish({.data = "invoice"}).get().ok() ? Verdict::Ack() : Verdict::Nack();
  });
  Publish({"a"});
  began.Wait();
  std::thread opener([&] {
    // Close has begun when no subscriber can be added any more.
    WaitUntil([&] {
      return !broker_
                  ->Subscribe(kSubscription, [](const Message&) { return Verdict::Nack(); },
                              {.max_outstanding_messages = 1})
                  .ok();
    });
    go.CountDown();
  });
  EXPECT_TRUE(broker_->Close(absl::Minutes(1)).ok());
  opener.join();
  EXPECT_EQ(subscriber->counters().acked, 1u);
  subscriber = nullptr;
  broker_ = nullptr;
  Open();
  const auto topic =
      broker_->engine().FindTopic(*TopicName::Parse("projects/test/topics/invoices"));
  EXPECT_EQ((*topic)->stats().extent.next, Offset(2));
}

TEST_F(GracefulShutdown, WhatWasCollectedIsPublishedAndAnswered) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_delay = absl::Hours(1)});
  std::vector<Publisher::Result> results;
  for (int i = 0; i < 10; ++i) results.push_back(publisher->Publish({.data = "x"}));
  EXPECT_TRUE(broker_->Close(absl::Seconds(30)).ok());
  for (size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i].get().value_or(0), i + 1);
  EXPECT_EQ(ReasonOf(publisher->Publish({.data = "late"}).get().status()), Reason::kDraining);
  EXPECT_EQ(ReasonOf(broker_->CreateTopic("projects/test/topics/late")), Reason::kDraining);
  EXPECT_TRUE(broker_->Close(absl::Seconds(1)).ok()) << "closing again says the same";
}

// Publishers, handlers that fail now and then, and the end in the middle of it, again and again
// over one store: what was answered with an id is handled in the end.
TEST_F(GracefulShutdown, NothingThatWasAnsweredIsLost) {
  std::set<uint64_t> published;
  std::set<uint64_t> handled;
  Mutex mu;
  const auto handler = [&](const Message& message) {
    if (message.id() % 7 == 0 && message.attempt() == 1) throw std::runtime_error("no");
    MutexLock lock(mu);
    handled.insert(message.id());
    return Verdict::Ack();
  };
  for (int round = 0; round < 10; ++round) {
    auto subscriber = Subscribe(handler, {.failure_delay = absl::ZeroDuration()});
    auto publisher = *broker_->OpenPublisher(kTopic);
    std::thread publishes([&] {
      for (bool open = true; open;) {
        const auto id = publisher->Publish({.data = "x"}).get();
        open = id.ok();
        MutexLock lock(mu);
        if (open) published.insert(*id);
      }
    });
    WaitUntil([&] {
      MutexLock lock(mu);
      return handled.size() >= static_cast<size_t>(round + 1) * 100;
    });
    EXPECT_TRUE(broker_->Close(absl::Minutes(1)).ok());
    publishes.join();
    subscriber = nullptr;
    publisher = nullptr;
    broker_ = nullptr;
    Open();
  }
  auto subscriber = Subscribe(handler, {.failure_delay = absl::ZeroDuration()});
  WaitUntil([&] { return stats().backlog_messages == 0; });
  EXPECT_TRUE(std::includes(handled.begin(), handled.end(), published.begin(), published.end()));
  EXPECT_GE(published.size(), 1000u);
}

}  // namespace
}  // namespace sluice::embedded
