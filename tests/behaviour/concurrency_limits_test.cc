// Never more handlers at once, nor more messages held, than was said.
#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

using ConcurrencyLimits = BrokerFixture;

// How many are inside, and how many were at the most.
class Inside {
 public:
  void Enter() {
    const int now = ++inside_;
    int most = most_;
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
  }
  void Leave() { --inside_; }
  int now() const { return inside_; }
  int most() const { return most_; }

 private:
  std::atomic<int> inside_ = 0;
  std::atomic<int> most_ = 0;
};

TEST_F(ConcurrencyLimits, AsManyHandlersRunAsWasSaidAndNeverMore) {
  constexpr int kMessages = 2000;
  Inside inside;
  Latch handled(kMessages);
  Latch four(4);
  auto subscriber = Subscribe(
      [&](const Message&) {
        inside.Enter();
        // Until four are in at once, nobody leaves.
        if (!four.open()) {
          four.CountDown();
          four.Wait();
        }
        std::this_thread::yield();
        inside.Leave();
        handled.CountDown();
        return Verdict::Ack();
      },
      {.concurrency = 4});
  for (int i = 0; i < kMessages / 500; ++i) Publish(std::vector<std::string>(500, "x"));
  handled.Wait();
  EXPECT_EQ(inside.most(), 4);
}

TEST_F(ConcurrencyLimits, OneAtATimeKeepsTheOrder) {
  std::vector<uint64_t> ids;
  Latch handled(1000);
  auto subscriber = Subscribe(
      [&](const Message& message) {
        ids.push_back(message.id());
        handled.CountDown();
        return Verdict::Ack();
      },
      {.concurrency = 1});
  for (int i = 0; i < 10; ++i) Publish(std::vector<std::string>(100, "x"));
  handled.Wait();
  ASSERT_EQ(ids.size(), 1000u);
  for (size_t i = 0; i < ids.size(); ++i) ASSERT_EQ(ids[i], i + 1);
}

TEST_F(ConcurrencyLimits, NoMoreMessagesAreHeldThanThereIsCreditFor) {
  Latch go(1);
  auto subscriber = Subscribe(
      [&](const Message&) {
        go.Wait();
        return Verdict::Ack();
      },
      {.concurrency = 2, .max_outstanding_messages = 10});
  Publish(std::vector<std::string>(100, "x"));
  EXPECT_EQ(stats().leased_messages, 10);
  EXPECT_EQ(subscriber->counters().received, 10u);
  go.CountDown();
  WaitUntil([&] { return stats().backlog_messages == 0; });
}

TEST_F(ConcurrencyLimits, NoMoreBytesAreHeldThanThereIsCreditFor) {
  Latch go(1);
  auto subscriber = Subscribe(
      [&](const Message&) {
        go.Wait();
        return Verdict::Ack();
      },
      {.concurrency = 2, .max_outstanding_bytes = 1000});
  Publish(std::vector<std::string>(20, std::string(300, 'x')));
  EXPECT_LE(stats().leased_messages, 4);
  EXPECT_GE(stats().leased_messages, 1);
  go.CountDown();
  WaitUntil([&] { return stats().backlog_messages == 0; });
}

TEST_F(ConcurrencyLimits, APublisherWithoutRoomRefusesOrWaitsAsItWasSaid) {
  // The store answers only when it is told: a callback of the first batch holds those behind it up.
  Latch began(1);
  Latch go(1);
  auto publisher = *broker_->OpenPublisher(
      kTopic,
      {.batch_messages = 1, .max_messages = 2, .when_full = PublisherOptions::WhenFull::kReject});
  std::thread holds([&] {
    publisher->Publish({.data = "first"}, [&](const auto& id) {
      EXPECT_TRUE(id.ok());
      began.CountDown();
      go.Wait();
    });
  });
  began.Wait();
  auto second = publisher->Publish({.data = "second"});
  auto third = publisher->Publish({.data = "third"});
  EXPECT_EQ(ReasonOf(third.get().status()), Reason::kTooMuchInFlight);
  go.CountDown();
  holds.join();
  EXPECT_TRUE(second.get().ok());
  EXPECT_TRUE(publisher->Publish({.data = "fourth"}).get().ok());
}

}  // namespace
}  // namespace sluice::embedded
