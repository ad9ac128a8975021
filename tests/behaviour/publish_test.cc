// Publishing single messages in process.
#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

class Publish : public BrokerFixture {
 protected:
  uint64_t batches() const { return broker_->metrics().engine.published_batches.value(); }
};

TEST_F(Publish, WithoutADelayAMessageGoesAtOnce) {
  auto publisher = *broker_->OpenPublisher(kTopic);
  EXPECT_EQ(publisher->Publish({.data = "a"}).get().value_or(0), 1u);
  EXPECT_EQ(batches(), 1u);
}

TEST_F(Publish, AMessageArrivesAsItWasWithAnIdAndATime) {
  auto publisher = *broker_->OpenPublisher(kTopic);
  const auto id =
      publisher
          ->Publish(
              {.data = "a", .attributes = {{"colour", "red"}}, .ordering_key = "k", .priority = 7})
          .get();
  ASSERT_TRUE(id.ok()) << id.status();
  std::atomic<bool> came = false;
  auto subscriber = Subscribe([&](const Message& message) {
    EXPECT_EQ(message.id(), *id);
    EXPECT_EQ(message.data(), "a");
    EXPECT_EQ(message.FindAttribute("colour"), "red");
    EXPECT_EQ(message.ordering_key(), "k");
    EXPECT_EQ(message.priority(), 7u);
    EXPECT_EQ(message.attempt(), 1u);
    EXPECT_EQ(absl::ToUnixMicros(message.publish_time()), absl::ToUnixMicros(clock_.WallNow()));
    came = true;
    return Verdict::Ack();
  });
  WaitUntil([&] { return came.load(); });
}

TEST_F(Publish, IdsGrowInTheOrderOfPublishing) {
  auto publisher = *broker_->OpenPublisher(kTopic);
  for (uint64_t id = 1; id <= 5; ++id)
    EXPECT_EQ(publisher->Publish({.data = "x"}).get().value_or(0), id);
}

TEST_F(Publish, ADeletedTopicIsSaidSo) {
  auto publisher = *broker_->OpenPublisher(kTopic);
  ASSERT_TRUE(broker_->DeleteTopic(kTopic).ok());
  EXPECT_EQ(ReasonOf(publisher->Publish({.data = "a"}).get().status()), Reason::kTopicNotFound);
  EXPECT_EQ(ReasonOf(broker_->OpenPublisher(kTopic).status()), Reason::kTopicNotFound);
}

TEST_F(Publish, ADeletedSubscriptionEndsItsSubscriber) {
  absl::Status ended;
  auto subscriber = Subscribe([](const Message&) { return Verdict::Ack(); },
                              {.ended = [&](const absl::Status& why) { ended = why; }});
  ASSERT_TRUE(broker_->DeleteSubscription(kSubscription).ok());
  EXPECT_EQ(ReasonOf(ended), Reason::kSubscriptionNotFound);
  EXPECT_TRUE(subscriber->Close(absl::Seconds(10)).ok());
}

}  // namespace
}  // namespace sluice::embedded
