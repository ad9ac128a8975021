// The Publish stream and PublishBatch.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/integration/fixture.h"

namespace sluice::server {
namespace {

using ::testing::ElementsAre;

class PublishTest : public StoreTest {};
SLUICE_OVER_EVERY_STORE(PublishTest);

TEST_P(PublishTest, AnswersBatchesInTheOrderOfTheRequests) {
  client_->CreateTopic("orders");
  PublishStream stream(*client_);
  constexpr uint64_t kBatches = 500;
  for (uint64_t i = 0; i < kBatches; ++i)
    ASSERT_TRUE(stream.Send(i == 0 ? "orders" : "", 7 * i, {"a", "b"}));
  stream.Close();
  const auto results = stream.Take(kBatches);
  ASSERT_EQ(results.size(), kBatches);
  for (uint64_t i = 0; i < kBatches; ++i) {
    EXPECT_EQ(results[i].batch_id(), 7 * i);
    EXPECT_EQ(results[i].first_message_id(), 1 + 2 * i);
    EXPECT_EQ(results[i].count(), 2);
    EXPECT_FALSE(results[i].has_error());
  }
  EXPECT_EQ(CodeAndReason(stream.End()), "OK");
}

TEST_P(PublishTest, StoresWhatItAnswered) {
  CreateBoth("orders");
  EXPECT_EQ(client_->Publish("orders", {"one", "two"}), 1);
  EXPECT_EQ(client_->Publish("orders", {"three"}), 3);
  SubscribeStream stream(*client_, "orders", 10);
  EXPECT_THAT(stream.TakeData(3), ElementsAre("one", "two", "three"));
}

class PublishStreamTest : public ServerTest {};

TEST_P(PublishTest, ANumberedBatchThatComesAgainIsStoredOnce) {
  CreateBoth("orders");
  const auto publish = [this](uint64_t sequence, uint64_t epoch) {
    PublishStream stream(*client_);
    v1::PublishRequest request;
    request.set_topic(TopicPath("orders"));
    request.set_producer_id("till");
    request.set_producer_epoch(epoch);
    request.set_sequence(sequence);
    request.set_batch_id(sequence);
    request.add_messages()->set_data("message " + std::to_string(sequence));
    stream.Send(request);
    stream.Close();
    const auto results = stream.Take(1);
    EXPECT_EQ(CodeAndReason(stream.End()), "OK");
    return results.empty() ? v1::PublishResult() : results[0];
  };
  EXPECT_EQ(publish(1, 7).first_message_id(), 1u);
  EXPECT_EQ(publish(2, 7).first_message_id(), 2u);
  EXPECT_EQ(publish(1, 7).first_message_id(), 1u);
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 2);
  EXPECT_EQ(publish(1, 8).first_message_id(), 3u);
  EXPECT_EQ(publish(3, 7).error().reason(), "PRODUCER_FENCED");
  EXPECT_EQ(publish(0, 8).error().reason(), "INVALID_PRODUCER");
}

TEST_F(PublishStreamTest, GoesOnAfterARefusedBatch) {
  client_->CreateTopic("orders");
  PublishStream stream(*client_);
  stream.Send("orders", 1, {"good"});
  stream.Send("", 2, {""});
  stream.Send("", 3, {"good"});
  const auto results = stream.Take(3);
  ASSERT_EQ(results.size(), 3);
  EXPECT_EQ(results[0].first_message_id(), 1);
  EXPECT_EQ(results[1].batch_id(), 2);
  EXPECT_EQ(results[1].count(), 0);
  EXPECT_EQ(results[1].error().code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(results[1].error().reason(), "EMPTY_MESSAGE");
  EXPECT_THAT(results[1].error().message(), ::testing::HasSubstr("messages[0]"));
  EXPECT_EQ(results[2].first_message_id(), 2);
}

TEST_F(PublishStreamTest, OpensWithATopicAlone) {
  client_->CreateTopic("orders");
  PublishStream stream(*client_);
  stream.Send("orders", 0, {});
  stream.Send("orders", 1, {"x"});
  const auto results = stream.Take(1);
  ASSERT_EQ(results.size(), 1);
  EXPECT_EQ(results[0].batch_id(), 1);
}

TEST_F(PublishStreamTest, AnswersWhatWasSentBeforeAnErrorEndsIt) {
  client_->CreateTopic("orders");
  client_->CreateTopic("others");
  PublishStream stream(*client_);
  stream.Send("orders", 1, {"x"});
  stream.Send("others", 2, {"y"});
  EXPECT_EQ(stream.Take(1).size(), 1);
  const grpc::Status end = stream.End();
  EXPECT_EQ(CodeAndReason(end), "INVALID_ARGUMENT/TARGET_CHANGED");
  EXPECT_EQ(InfoOf(end).domain(), "sluice");
  EXPECT_EQ(InfoOf(end).metadata().at("field"), "topic");
}

TEST_F(PublishStreamTest, RefusesBatchesOfATopicDeletedMeanwhile) {
  client_->CreateTopic("orders");
  PublishStream stream(*client_);
  stream.Send("orders", 1, {"x"});
  EXPECT_EQ(stream.Take(1).size(), 1);
  client_->DeleteTopic("orders");
  stream.Send("orders", 2, {"x"});
  const auto results = stream.Take(1);
  ASSERT_EQ(results.size(), 1);
  EXPECT_EQ(results[0].error().code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(results[0].error().reason(), "TOPIC_NOT_FOUND");
}

TEST_F(PublishStreamTest, DropsWhatOnlyTheServerMaySay) {
  CreateBoth("orders");
  v1::PublishRequest request;
  request.set_topic(TopicPath("orders"));
  v1::Message* message = request.add_messages();
  message->set_data("x");
  message->set_message_id("666");
  message->mutable_publish_time()->set_seconds(1);
  message->set_ordering_key("k");
  message->set_priority(9);
  (*message->mutable_attributes())["colour"] = "grün";
  PublishStream publisher(*client_);
  publisher.Send(request);
  EXPECT_EQ(publisher.Take(1).size(), 1);
  SubscribeStream stream(*client_, "orders", 10);
  const auto got = stream.Take(1);
  ASSERT_EQ(got.size(), 1);
  const v1::Message& delivered = got[0].message();
  EXPECT_EQ(delivered.data(), "x");
  EXPECT_EQ(delivered.message_id(), "1");
  EXPECT_GT(delivered.publish_time().seconds(), 1'700'000'000);
  EXPECT_EQ(delivered.ordering_key(), "k");
  EXPECT_EQ(delivered.priority(), 9);
  EXPECT_EQ(delivered.attributes().at("colour"), "grün");
  EXPECT_EQ(got[0].attempt(), 1);
}

// With nobody reading results the server stops to read requests; it must find back into motion.
TEST_F(PublishStreamTest, StopsReadingWhileResultsAreNotTakenAndGoesOnAfterwards) {
  client_->CreateTopic("orders");
  PublishStream stream(*client_);
  constexpr size_t kBatches = 5000;
  for (size_t i = 0; i < kBatches; ++i) ASSERT_TRUE(stream.Send("orders", i, {"x"}));
  stream.Close();
  EXPECT_EQ(stream.Take(kBatches).size(), kBatches);
  EXPECT_EQ(CodeAndReason(stream.End()), "OK");
}

}  // namespace
}  // namespace sluice::server
