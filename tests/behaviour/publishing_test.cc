// Publishing in process: single messages in batches, and batches as they are.
#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

class EmbeddedPublishing : public BrokerFixture {
 protected:
  uint64_t batches() const { return broker_->metrics().engine.published_batches.value(); }
  uint64_t messages() const { return broker_->metrics().engine.published_messages.value(); }
};

TEST_F(EmbeddedPublishing, ABatchGoesWhenItHasItsMessages) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_messages = 3, .batch_delay = absl::Hours(1)});
  std::vector<uint64_t> ids;
  for (int i = 0; i < 7; ++i) publisher->Publish({.data = "x"}, [&](const auto& id) { ids.push_back(*id); });
  EXPECT_EQ(ids, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(batches(), 2u);
  publisher->Flush();
  EXPECT_EQ(ids.size(), 7u);
}

TEST_F(EmbeddedPublishing, ABatchGoesWhenItHasItsBytes) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_bytes = 1000, .batch_delay = absl::Hours(1)});
  const std::string data(400, 'x');
  for (int i = 0; i < 3; ++i) publisher->Publish({.data = data}, nullptr);
  EXPECT_EQ(messages(), 2u) << "the third did not fit beside the first two";
  publisher->Publish({.data = std::string(2000, 'x')}, nullptr);
  EXPECT_EQ(messages(), 4u) << "one that is larger than a batch goes alone";
}

TEST_F(EmbeddedPublishing, ABatchGoesWhenItsFirstMessageHasWaited) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_delay = absl::Milliseconds(10)});
  auto first = publisher->Publish({.data = "a"});
  Advance(absl::Milliseconds(6));
  auto second = publisher->Publish({.data = "b"});
  EXPECT_EQ(messages(), 0u);
  Advance(absl::Milliseconds(4));
  EXPECT_EQ(first.get().value_or(0), 1u);
  EXPECT_EQ(second.get().value_or(0), 2u);
  auto third = publisher->Publish({.data = "c"});
  Advance(absl::Milliseconds(9));
  EXPECT_EQ(messages(), 2u) << "the next batch has a time of its own";
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(third.get().value_or(0), 3u);
}

TEST_F(EmbeddedPublishing, WithoutADelayAMessageGoesAtOnce) {
  auto publisher = *broker_->OpenPublisher(kTopic);
  EXPECT_EQ(publisher->Publish({.data = "a"}).get().value_or(0), 1u);
  EXPECT_EQ(batches(), 1u);
}

TEST_F(EmbeddedPublishing, ABadMessageTakesNoneBesideItAlong) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_delay = absl::Hours(1)});
  auto good = publisher->Publish({.data = "good"});
  EXPECT_EQ(ReasonOf(publisher->Publish({}).get().status()), Reason::kEmptyMessage);
  auto also_good = publisher->Publish({.data = "also good", .priority = 9});
  publisher->Flush();
  EXPECT_EQ(good.get().value_or(0), 1u);
  EXPECT_EQ(also_good.get().value_or(0), 2u);
}

TEST_F(EmbeddedPublishing, ABatchIsStoredWholeOrNotAtAll) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_delay = absl::Hours(1)});
  auto before = publisher->Publish({.data = "before"});
  std::vector<OutgoingMessage> messages(3);
  messages[0].data = messages[2].data = "x";
  EXPECT_EQ(ReasonOf(publisher->PublishBatch(messages).get().status()), Reason::kEmptyMessage);
  EXPECT_EQ(this->messages(), 0u);
  messages[1].data = "y";
  EXPECT_EQ(publisher->PublishBatch(messages).get().value_or(0), 2u) << "in its place behind what was collected";
  EXPECT_EQ(before.get().value_or(0), 1u);
}

TEST_F(EmbeddedPublishing, ADeletedTopicIsSaidSo) {
  auto publisher = *broker_->OpenPublisher(kTopic);
  ASSERT_TRUE(broker_->DeleteTopic(kTopic).ok());
  EXPECT_EQ(ReasonOf(publisher->Publish({.data = "a"}).get().status()), Reason::kTopicNotFound);
  EXPECT_EQ(ReasonOf(broker_->OpenPublisher(kTopic).status()), Reason::kTopicNotFound);
}

TEST_F(EmbeddedPublishing, OneVerdictSettlesAWholeBatch) {
  std::atomic<size_t> calls = 0;
  std::atomic<size_t> received = 0;
  auto subscriber = broker_->SubscribeBatches(kSubscription, [&](std::span<const Message> messages) {
    ++calls;
    received += messages.size();
    return Verdict::Ack();
  });
  Publish(std::vector<std::string>(500, "x"));
  WaitUntil([&] { return stats().backlog_messages == 0; });
  EXPECT_EQ(received, 500u);
  EXPECT_LE(calls, 4u);
}

TEST_F(EmbeddedPublishing, ADeletedSubscriptionEndsItsSubscriber) {
  absl::Status ended;
  auto subscriber = Subscribe([](const Message&) { return Verdict::Ack(); },
                              {.ended = [&](const absl::Status& why) { ended = why; }});
  ASSERT_TRUE(broker_->DeleteSubscription(kSubscription).ok());
  EXPECT_EQ(ReasonOf(ended), Reason::kSubscriptionNotFound);
  EXPECT_TRUE(subscriber->Close(absl::Seconds(10)).ok());
}

}  // namespace
}  // namespace sluice::embedded
