// Publishing single messages in process.
#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

class Publish : public BrokerFixture {
 protected:
  uint64_t batches() const { return broker_->metrics().engine.published_batches.value(); }
  uint64_t messages() const { return broker_->metrics().engine.published_messages.value(); }
};

TEST_F(Publish, WithoutADelayAMessageGoesAtOnce) {
  auto publisher = *broker_->OpenPublisher(kTopic);
  EXPECT_EQ(publisher->Publish({.data = "a"}).get().value_or(0), 1u);
  EXPECT_EQ(batches(), 1u);
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
