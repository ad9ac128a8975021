// The Subscribe stream: credit, settling, sharing, start positions, ends.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/integration/fixture.h"

namespace sluice::server {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class SubscribeTest : public StoreTest {};
SLUICE_OVER_EVERY_STORE(SubscribeTest);

TEST_P(SubscribeTest, SaysWhatItOpened) {
  CreateBoth("orders");
  SubscribeStream stream(*client_);
  v1::SubscribeRequest request;
  request.set_subscription(SubscriptionPath("orders"));
  stream.Send(request);
  const v1::Opened opened = stream.ReadOpened();
  EXPECT_EQ(opened.subscription(), SubscriptionPath("orders"));
  EXPECT_EQ(opened.topic(), TopicPath("orders"));
  EXPECT_EQ(opened.ack_deadline_seconds(), 10);
}

TEST_P(SubscribeTest, DeliversNoMoreMessagesThanCredit) {
  CreateBoth("orders");
  client_->Publish("orders", {"1", "2", "3", "4", "5"});
  SubscribeStream stream(*client_, "orders", 2);
  EXPECT_THAT(stream.TakeData(2), ElementsAre("1", "2"));
  EXPECT_EQ(client_->Stats("orders").delivered_messages(), 2);
  stream.Grant(3);
  EXPECT_THAT(stream.TakeData(3), ElementsAre("3", "4", "5"));
}

TEST_P(SubscribeTest, DeliversNoMoreBytesThanCreditButForTheLastMessage) {
  CreateBoth("orders");
  const std::string big(1000, 'x');
  client_->Publish("orders", {big, big, big, big});
  SubscribeStream stream(*client_, "orders", 100, 1500);
  EXPECT_THAT(stream.Take(2), SizeIs(2));
  EXPECT_EQ(client_->Stats("orders").delivered_messages(), 2);
  stream.Grant(1, 600);
  EXPECT_THAT(stream.Take(1), SizeIs(1));
  EXPECT_EQ(client_->Stats("orders").delivered_messages(), 3);
}

TEST_P(SubscribeTest, AcknowledgesRanges) {
  CreateBoth("orders");
  client_->Publish("orders", {"1", "2", "3", "4", "5"});
  SubscribeStream stream(*client_, "orders", 10);
  const auto got = stream.Take(5);
  ASSERT_THAT(got, SizeIs(5));
  stream.Ack(got[0].delivery_id(), got[2].delivery_id());
  stream.Ack(got[4].delivery_id());
  EXPECT_TRUE(stream.Close().ok());
  EXPECT_EQ(client_->Stats("orders").acked_messages(), 4);
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 1);
  SubscribeStream again(*client_, "orders", 10);
  const auto rest = again.Take(1);
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].message().data(), "4");
  EXPECT_EQ(rest[0].message().message_id(), "4");
  EXPECT_EQ(rest[0].attempt(), 1);
}

TEST_P(SubscribeTest, AStreamThatItsClientClosesFailsNothing) {
  CreateBoth("orders");
  client_->Publish("orders", {"1", "2", "3"});
  for (int round = 0; round < 6; ++round) {
    SubscribeStream stream(*client_, "orders", 10);
    const auto got = stream.Take(3);
    ASSERT_THAT(got, SizeIs(3));
    for (const v1::Delivery& delivery : got) EXPECT_EQ(delivery.attempt(), 1);
    EXPECT_TRUE(stream.Close().ok());
  }
}

TEST_P(SubscribeTest, RedeliversAtOnceWhenTheStreamBreaks) {
  CreateBoth("orders");
  client_->Publish("orders", {"1"});
  {
    SubscribeStream stream(*client_, "orders", 10);
    EXPECT_THAT(stream.Take(1), SizeIs(1));
    stream.Cancel();
    EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::CANCELLED);
  }
  SubscribeStream again(*client_, "orders", 10);
  const auto got = again.Take(1);
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(got[0].attempt(), 2);
}

// With exactly-once delivery, for a client that says it knows what it holds.
TEST_P(SubscribeTest, WhatAClientHoldsIsItsOwnAfterARestart) {
  // The memory store does not outlive the server.
  if (GetParam() == StoreKind::kMemory) return;
  CreateExactlyOnce("orders", 600);
  client_->Publish("orders", {"1", "2", "3"});
  v1::SubscribeRequest request;
  request.set_subscription(SubscriptionPath("orders"));
  request.mutable_credit()->set_messages(10);
  request.mutable_take_up();
  {
    SubscribeStream stream(*client_);
    stream.Send(request);
    request.mutable_take_up()->set_incarnation(stream.ReadOpened().incarnation());
    const auto got = stream.Take(3);
    ASSERT_THAT(got, SizeIs(3));
    v1::HeldDeliveries& held = *request.mutable_take_up()->add_held();
    held.mutable_range()->set_first(got[0].delivery_id());
    held.mutable_range()->set_last(got[1].delivery_id());
    held.set_first_message_id(1);
    EXPECT_TRUE(server_->Drain().ok());
    EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  server_ = nullptr;
  Start();
  client_->Publish("orders", {"4"});
  SubscribeStream other(*client_, "orders", 10);
  EXPECT_THAT(other.TakeData(1), ElementsAre("4"));
  SubscribeStream stream(*client_);
  stream.Send(request);
  const v1::SubscribeResponse opened = stream.Read();
  ASSERT_EQ(opened.taken_up_size(), 1);
  EXPECT_EQ(opened.taken_up(0).range().last(), request.take_up().held(0).range().last());
  const uint64_t now = opened.taken_up(0).first_delivery_id();
  stream.Ack(now, now);
  const v1::SubscribeResponse acked = stream.Read();
  ASSERT_EQ(acked.ack_results_size(), 1);
  EXPECT_FALSE(acked.ack_results(0).has_error());
  stream.Cancel();
  EXPECT_THAT(other.TakeData(1), ElementsAre("2")) << "as any message of a stream that breaks";
}

TEST_P(SubscribeTest, SaysWhatIsWrongWithWhatAClientHolds) {
  CreateBoth("orders");
  SubscribeStream stream(*client_);
  v1::SubscribeRequest request;
  request.set_subscription(SubscriptionPath("orders"));
  request.mutable_take_up()->add_held()->mutable_range()->set_first(1);
  stream.Send(request);
  EXPECT_EQ(CodeAndReason(stream.End()), "INVALID_ARGUMENT/INVALID_RANGE");
}

TEST_P(SubscribeTest, EverySubscriptionGetsEveryMessage) {
  CreateBoth("orders");
  client_->CreateSubscription("second", "orders");
  SubscribeStream first(*client_, "orders", 10);
  SubscribeStream second(*client_, "second", 10);
  client_->Publish("orders", {"1", "2"});
  EXPECT_THAT(first.TakeData(2), ElementsAre("1", "2"));
  EXPECT_THAT(second.TakeData(2), ElementsAre("1", "2"));
}

TEST_P(SubscribeTest, AFilterChoosesForNamedAndEphemeralSubscriptions) {
  ASSERT_EQ(CodeAndReason(client_->CreateTopic("orders")), "OK");
  v1::Subscription subscription;
  subscription.set_name(SubscriptionPath("urgent"));
  subscription.set_topic(TopicPath("orders"));
  subscription.set_filter("priority >= 5 AND NOT attributes:test");
  ASSERT_EQ(CodeAndReason(client_->CreateSubscription(subscription)), "OK");
  v1::PublishBatchRequest request;
  v1::PublishBatchResponse response;
  request.set_topic(TopicPath("orders"));
  for (const uint32_t priority : {1u, 7u, 9u}) {
    v1::Message& message = *request.add_messages();
    message.set_data("priority " + std::to_string(priority));
    message.set_priority(priority);
    if (priority == 9) (*message.mutable_attributes())["test"] = "";
  }
  ASSERT_EQ(CodeAndReason(client_->PublishBatch(request, &response)), "OK");
  SubscribeStream named(*client_, "urgent", 10);
  EXPECT_THAT(named.TakeData(1), ElementsAre("priority 7"));
  EXPECT_EQ(client_->Stats("urgent").backlog_messages(), 1);
  SubscribeStream ephemeral(*client_);
  v1::SubscribeRequest open;
  open.mutable_ephemeral()->set_topic(TopicPath("orders"));
  open.mutable_ephemeral()->set_filter("attributes:test OR priority < 5");
  open.mutable_ephemeral()->mutable_start()->set_earliest(true);
  *open.mutable_credit() = SubscribeStream::CreditOf(10);
  ephemeral.Send(open);
  ephemeral.ReadOpened();
  EXPECT_THAT(ephemeral.TakeData(1), ElementsAre("priority 9"));
}

TEST_P(SubscribeTest, DeadLettersArriveWithTheirCause) {
  CreateBoth("graveyard");
  ASSERT_EQ(CodeAndReason(client_->CreateTopic("orders")), "OK");
  v1::Subscription subscription;
  subscription.set_name(SubscriptionPath("billing"));
  subscription.set_topic(TopicPath("orders"));
  subscription.mutable_dead_letter_policy()->set_dead_letter_topic(TopicPath("graveyard"));
  subscription.mutable_retry_policy()->mutable_minimum_backoff();
  subscription.mutable_retry_policy()->mutable_maximum_backoff();
  ASSERT_EQ(CodeAndReason(client_->CreateSubscription(subscription)), "OK");
  client_->Publish("orders", {"bad"});
  SubscribeStream stream(*client_, "billing", 100);
  for (uint32_t attempt = 1; attempt <= 5; ++attempt) {
    const auto got = stream.Take(1);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].attempt(), attempt);
    stream.Nack(got[0].delivery_id(), got[0].delivery_id());
  }
  SubscribeStream undertaker(*client_, "graveyard", 10);
  const auto buried = undertaker.Take(1);
  ASSERT_EQ(buried.size(), 1u);
  EXPECT_EQ(buried[0].message().data(), "bad");
  EXPECT_EQ(buried[0].message().attributes().at("CloudPubSubDeadLetterSourceDeliveryCount"), "5");
  EXPECT_EQ(buried[0].message().attributes().at("SluiceDeadLetterReason"), "nacked");
  // The copy may be seen a moment before the acknowledgement that is stored with it.
  int64_t backlog = 1;
  for (int tries = 0; tries < 10'000 && backlog > 0; ++tries)
    backlog = client_->Stats("billing").backlog_messages();
  EXPECT_EQ(backlog, 0);
}

TEST_P(SubscribeTest, StreamsOfOneSubscriptionShareItsMessages) {
  CreateBoth("orders");
  SubscribeStream first(*client_, "orders", 1);
  SubscribeStream second(*client_, "orders", 1);
  client_->Publish("orders", {"1", "2"});
  const auto a = first.TakeData(1);
  const auto b = second.TakeData(1);
  ASSERT_THAT(a, SizeIs(1));
  ASSERT_THAT(b, SizeIs(1));
  EXPECT_NE(a[0], b[0]);
}

TEST_P(SubscribeTest, BeginsWhereItIsTold) {
  client_->CreateTopic("orders");
  client_->CreateSubscription("holder", "orders");
  client_->Publish("orders", {"1", "2", "3"});
  const auto open = [&](const v1::StartPosition& start) {
    auto stream = std::make_unique<SubscribeStream>(*client_);
    v1::SubscribeRequest request;
    request.mutable_ephemeral()->set_topic(TopicPath("orders"));
    *request.mutable_ephemeral()->mutable_start() = start;
    *request.mutable_credit() = SubscribeStream::CreditOf(10);
    stream->Send(request);
    EXPECT_EQ(stream->ReadOpened().topic(), TopicPath("orders"));
    return stream;
  };
  v1::StartPosition earliest;
  earliest.set_earliest(true);
  EXPECT_THAT(open(earliest)->TakeData(3), ElementsAre("1", "2", "3"));
  v1::StartPosition third;
  third.set_message_id(3);
  EXPECT_THAT(open(third)->TakeData(1), ElementsAre("3"));
  v1::StartPosition past;
  past.mutable_time()->set_seconds(1);
  EXPECT_THAT(open(past)->TakeData(3), ElementsAre("1", "2", "3"));
  const auto latest = open({});
  client_->Publish("orders", {"4"});
  EXPECT_THAT(latest->TakeData(1), ElementsAre("4"));
}

TEST_P(SubscribeTest, CarriesLargeAndSmallMessagesSideBySide) {
  CreateBoth("orders");
  const std::vector<std::string> payloads = {"small", std::string(3'000'000, 'a'), "small",
                                             std::string(9000, 'b'), std::string(8191, 'c')};
  client_->Publish("orders", payloads);
  SubscribeStream stream(*client_, "orders", 10);
  EXPECT_EQ(stream.TakeData(5), payloads);
}

TEST_P(SubscribeTest, DeliversABacklogThatIsLargerThanEveryWindow) {
  CreateBoth("orders");
  constexpr size_t kBatches = 200;
  for (size_t i = 0; i < kBatches; ++i)
    client_->Publish("orders", std::vector<std::string>(50, std::string(1000, 'x')));
  SubscribeStream stream(*client_, "orders", 1'000'000);
  const auto got = stream.Take(kBatches * 50);
  ASSERT_THAT(got, SizeIs(kBatches * 50));
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(got[i].message().message_id(), std::to_string(i + 1));
}

// A client that ends its stream is first told what became of all it acknowledged.
TEST_P(SubscribeTest, WithExactlyOnceDeliveryEveryAcknowledgementIsAnsweredBeforeTheEnd) {
  CreateBoth("orders");
  v1::CreateSubscriptionResponse created;
  v1::CreateSubscriptionRequest request;
  request.mutable_subscription()->set_name(SubscriptionPath("once"));
  request.mutable_subscription()->set_topic(TopicPath("orders"));
  request.mutable_subscription()->set_enable_exactly_once_delivery(true);
  ASSERT_EQ(CodeAndReason(client_->Call(&v1::Admin::Stub::CreateSubscription, request, &created)),
            "OK");
  client_->Publish("orders", {"1", "2", "3"});
  SubscribeStream stream(*client_, "once", 10);
  ASSERT_THAT(stream.Take(3), SizeIs(3));
  stream.Ack(1, 3);
  stream.Ack(3, 4);
  EXPECT_EQ(CodeAndReason(stream.Close()), "OK");
  EXPECT_THAT(stream.ack_results(), UnorderedElementsAre("1-3 OK", "3-4 LEASE_OVER"));
}

class SubscribeStreamTest : public ServerTest {
 protected:
  // One message, delivered on a stream of its own and not settled.
  void DeliverOne() {
    CreateBoth("orders");
    client_->Publish("orders", {"1"});
    stream_ = std::make_unique<SubscribeStream>(*client_, "orders", 10);
    const auto got = stream_->Take(1);
    ASSERT_THAT(got, SizeIs(1));
    delivery_id_ = got[0].delivery_id();
  }

  std::unique_ptr<SubscribeStream> stream_;
  uint64_t delivery_id_ = 0;
};

TEST_F(SubscribeStreamTest, DeliversANackedMessageAgainAtOnce) {
  ASSERT_NO_FATAL_FAILURE(DeliverOne());
  stream_->Nack(delivery_id_, 0);
  const auto again = stream_->Take(1);
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].attempt(), 2);
  EXPECT_GT(again[0].delivery_id(), delivery_id_);
}

TEST_F(SubscribeStreamTest, WaitsForTheDelayOfANack) {
  ASSERT_NO_FATAL_FAILURE(DeliverOne());
  const auto start = std::chrono::steady_clock::now();
  stream_->Nack(delivery_id_, 0, 1);
  EXPECT_THAT(stream_->Take(1), SizeIs(1));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(990));
}

TEST_F(SubscribeStreamTest, AnExtensionReplacesTheDeadline) {
  ASSERT_NO_FATAL_FAILURE(DeliverOne());
  const auto start = std::chrono::steady_clock::now();
  stream_->Extend(delivery_id_, 0, 1);
  const auto again = stream_->Take(1);
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].attempt(), 2);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(990));
  EXPECT_EQ(client_->Stats("orders").expired_leases(), 1);
}

TEST_F(SubscribeStreamTest, PassesOverAcksOfWhatItNeverDelivered) {
  CreateBoth("orders");
  client_->Publish("orders", {"1"});
  SubscribeStream other(*client_, "orders", 1);
  const auto held = other.Take(1);
  ASSERT_THAT(held, SizeIs(1));
  SubscribeStream stream(*client_, "orders", 1);
  stream.Ack(held[0].delivery_id());
  stream.Ack(1, UINT64_MAX);
  stream.Nack(1, UINT64_MAX);
  stream.Extend(1, UINT64_MAX, 60);
  EXPECT_TRUE(stream.Close().ok());
  EXPECT_EQ(client_->Stats("orders").acked_messages(), 0);
  EXPECT_EQ(client_->Stats("orders").leased_messages(), 1);
}

TEST_F(SubscribeStreamTest, AnEphemeralSubscriptionEndsWithItsStream) {
  client_->CreateTopic("orders");
  {
    SubscribeStream stream(*client_);
    v1::SubscribeRequest request;
    request.mutable_ephemeral()->set_topic(TopicPath("orders"));
    *request.mutable_credit() = SubscribeStream::CreditOf(1);
    stream.Send(request);
    EXPECT_EQ(stream.ReadOpened().subscription(), "");
    client_->Publish("orders", {"1"});
    EXPECT_THAT(stream.Take(1), SizeIs(1));
    EXPECT_TRUE(stream.Close().ok());
  }
  v1::GetTopicStatsRequest request;
  v1::GetTopicStatsResponse response;
  request.set_name(TopicPath("orders"));
  ASSERT_TRUE(client_->Call(&v1::Admin::Stub::GetTopicStats, request, &response).ok());
  EXPECT_EQ(response.stats().subscriptions(), 0);
}

TEST_F(SubscribeStreamTest, EndsWithNotFoundWhenTheSubscriptionIsDeleted) {
  CreateBoth("orders");
  SubscribeStream stream(*client_, "orders", 10);
  client_->DeleteSubscription("orders");
  EXPECT_EQ(CodeAndReason(stream.End()), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
}

TEST_F(SubscribeStreamTest, GoesOnWithWhatADeletedTopicLeaves) {
  CreateBoth("orders");
  SubscribeStream stream(*client_, "orders", 1);
  client_->Publish("orders", {"1", "2"});
  EXPECT_THAT(stream.Take(1), SizeIs(1));
  client_->DeleteTopic("orders");
  SubscribeStream again(*client_, "orders", 10);
  EXPECT_THAT(again.Take(1), SizeIs(1));
  client_->DeleteSubscription("orders");
  EXPECT_EQ(CodeAndReason(again.End()), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
}

TEST_F(SubscribeStreamTest, AnEphemeralOneEndsWithItsTopic) {
  CreateBoth("orders");
  SubscribeStream stream(*client_);
  v1::SubscribeRequest request;
  request.mutable_ephemeral()->set_topic(TopicPath("orders"));
  stream.Send(request);
  stream.ReadOpened();
  client_->DeleteTopic("orders");
  EXPECT_EQ(CodeAndReason(stream.End()), "FAILED_PRECONDITION/TOPIC_DELETED");
}

}  // namespace
}  // namespace sluice::server
