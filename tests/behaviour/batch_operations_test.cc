// Batches in process: collected from single messages, and given as they are.
#include "tests/support/broker_fixture.h"

namespace sluice::embedded {
namespace {

class BatchOperations : public BrokerFixture {
 protected:
  uint64_t batches() const { return broker_->metrics().engine.published_batches.value(); }
  uint64_t messages() const { return broker_->metrics().engine.published_messages.value(); }
};

TEST_F(BatchOperations, ABatchGoesWhenItHasItsMessages) {
  auto publisher =
      *broker_->OpenPublisher(kTopic, {.batch_messages = 3, .batch_delay = absl::Hours(1)});
  std::vector<uint64_t> ids;
  for (int i = 0; i < 7; ++i)
    publisher->Publish({.data = "x"}, [&](const auto& id) { ids.push_back(*id); });
  EXPECT_EQ(ids, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(batches(), 2u);
  publisher->Flush();
  EXPECT_EQ(ids.size(), 7u);
}

TEST_F(BatchOperations, ABatchGoesWhenItHasItsBytes) {
  auto publisher =
      *broker_->OpenPublisher(kTopic, {.batch_bytes = 1000, .batch_delay = absl::Hours(1)});
  const std::string data(400, 'x');
  for (int i = 0; i < 3; ++i) publisher->Publish({.data = data}, nullptr);
  EXPECT_EQ(messages(), 2u) << "the third did not fit beside the first two";
  publisher->Publish({.data = std::string(2000, 'x')}, nullptr);
  EXPECT_EQ(messages(), 4u) << "one that is larger than a batch goes alone";
}

TEST_F(BatchOperations, ABatchGoesWhenItsFirstMessageHasWaited) {
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

TEST_F(BatchOperations, ABadMessageTakesNoneBesideItAlong) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_delay = absl::Hours(1)});
  auto good = publisher->Publish({.data = "good"});
  EXPECT_EQ(ReasonOf(publisher->Publish({}).get().status()), Reason::kEmptyMessage);
  auto also_good = publisher->Publish({.data = "also good", .priority = 9});
  publisher->Flush();
  EXPECT_EQ(good.get().value_or(0), 1u);
  EXPECT_EQ(also_good.get().value_or(0), 2u);
}

TEST_F(BatchOperations, ABatchIsStoredWholeOrNotAtAll) {
  auto publisher = *broker_->OpenPublisher(kTopic, {.batch_delay = absl::Hours(1)});
  auto before = publisher->Publish({.data = "before"});
  std::vector<OutgoingMessage> messages(3);
  messages[0].data = messages[2].data = "x";
  EXPECT_EQ(ReasonOf(publisher->PublishBatch(messages).get().status()), Reason::kEmptyMessage);
  EXPECT_EQ(this->messages(), 0u);
  messages[1].data = "y";
  EXPECT_EQ(publisher->PublishBatch(messages).get().value_or(0), 2u)
      << "in its place behind what was collected";
  EXPECT_EQ(before.get().value_or(0), 1u);
}

TEST_F(BatchOperations, OneVerdictSettlesAWholeBatch) {
  std::atomic<size_t> calls = 0;
  std::atomic<size_t> received = 0;
  auto subscriber =
      broker_->SubscribeBatches(kSubscription, [&](std::span<const Message> messages) {
        ++calls;
        received += messages.size();
        return Verdict::Ack();
      });
  Publish(std::vector<std::string>(500, "x"));
  WaitUntil([&] { return stats().backlog_messages == 0; });
  EXPECT_EQ(received, 500u);
  EXPECT_LE(calls, 4u);
}

}  // namespace
}  // namespace sluice::embedded
