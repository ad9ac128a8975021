// Limits on publishing, on counts and on memory, as clients and operators see them.
#include <thread>

#include "gmock/gmock.h"
#include "server/base/publish_limits.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class AdmissionTest : public ServerTest {
 protected:
  void SetUp() override {}
  std::string Metrics() { return HttpGet(server_->http_port(), "/metrics").body; }
  void AwaitMetric(const std::string& line) {
    while (Metrics().find("\n" + line + "\n") == std::string::npos) std::this_thread::yield();
  }

  // 10 messages a second in each topic; what is over waits this long.
  void LimitTopics(absl::Duration wait) {
    options_.publish.topic.messages_per_second = 10;
    options_.publish.topic.wait = wait;
    Start();
    CreateBoth("orders");
    CreateBoth("others");
  }
  // So that the topic owes for a minute and a half.
  void UseUp(const std::string& topic) {
    client_->Publish(topic, std::vector<std::string>(1000, "x"));
  }

  static v1::PublishBatchRequest RequestOf(const std::string& topic, const std::string& payload) {
    v1::PublishBatchRequest request;
    request.set_topic(TopicPath(topic));
    request.add_messages()->set_data(payload);
    return request;
  }
  grpc::Status PublishOne(const std::string& topic, const std::string& payload = "x") {
    v1::PublishBatchResponse response;
    return client_->PublishBatch(RequestOf(topic, payload), &response);
  }
};

TEST_F(AdmissionTest, WhatIsOverALimitIsRefusedWithTheLimitAndADelay) {
  LimitTopics(absl::ZeroDuration());
  UseUp("orders");
  const grpc::Status refused = PublishOne("orders");
  EXPECT_EQ(CodeAndReason(refused), "RESOURCE_EXHAUSTED/QUOTA_EXCEEDED");
  EXPECT_EQ(InfoOf(refused).metadata().at("scope"), "topic");
  EXPECT_EQ(InfoOf(refused).metadata().at("limit"), "messages_per_second");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(refused.error_details()));
  google::rpc::RetryInfo retry;
  ASSERT_EQ(details.details_size(), 2);
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_GT(retry.retry_delay().seconds(), 10);
  EXPECT_TRUE(PublishOne("others").ok()) << "another topic has its own";
  const std::string page = Metrics();
  EXPECT_THAT(
      page,
      HasSubstr(
          "\nsluice_admission_refused_total{scope=\"topic\",limit=\"messages_per_second\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_refused_requests_total{reason=\"QUOTA_EXCEEDED\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_admission_admitted_total 2\n"));
}

TEST_F(AdmissionTest, ABatchThatWaitsUntilItsTimeoutIsNotStoredAndTheStreamGoesOn) {
  LimitTopics(absl::Minutes(10));
  UseUp("orders");
  PublishStream stream(*client_);
  v1::PublishRequest request;
  request.set_topic(TopicPath("orders"));
  request.set_batch_id(1);
  request.add_messages()->set_data("late");
  request.mutable_timeout()->set_nanos(20'000'000);
  stream.Send(request);
  const auto results = stream.Take(1);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].error().reason(), "DEADLINE_EXCEEDED");
  EXPECT_EQ(results[0].error().code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  stream.Close();
  EXPECT_EQ(CodeAndReason(stream.End()), "OK");
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 1000);
  EXPECT_THAT(
      Metrics(),
      HasSubstr("\nsluice_admission_waiting{scope=\"topic\",limit=\"messages_per_second\"} 0\n"));
}

TEST_F(AdmissionTest, ACallWhoseDeadlinePassesStoresNothing) {
  LimitTopics(absl::Minutes(10));
  UseUp("orders");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::PublishBatchResponse response;
  EXPECT_EQ(
      client_->pubsub().PublishBatch(&context, RequestOf("orders", "late"), &response).error_code(),
      grpc::StatusCode::DEADLINE_EXCEEDED);
  AwaitMetric("sluice_refused_requests_total{reason=\"DEADLINE_EXCEEDED\"} 1");
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 1000);
}

TEST_F(AdmissionTest, BatchesOfAStreamThatWaitKeepTheirOrder) {
  options_.publish.server.messages_per_second = 1000;
  options_.publish.server.wait = absl::Minutes(1);
  Start();
  CreateBoth("orders");
  PublishStream stream(*client_);
  for (uint64_t i = 0; i < 15; ++i)
    stream.Send("orders", i, std::vector<std::string>(100, std::to_string(i)));
  stream.Close();
  const auto results = stream.Take(15);
  ASSERT_EQ(results.size(), 15u);
  for (uint64_t i = 0; i < 15; ++i) EXPECT_EQ(results[i].first_message_id(), 1 + 100 * i);
  EXPECT_EQ(CodeAndReason(stream.End()), "OK");
}

TEST_F(AdmissionTest, ADrainRefusesWhatWaits) {
  LimitTopics(absl::Minutes(10));
  UseUp("orders");
  PublishStream stream(*client_);
  stream.Send("orders", 1, {"waits"});
  AwaitMetric("sluice_admission_waiting{scope=\"topic\",limit=\"messages_per_second\"} 1");
  EXPECT_TRUE(server_->Drain().ok());
  const auto results = stream.Take(1);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].error().reason(), "DRAINING");
  EXPECT_EQ(CodeAndReason(stream.End()), "UNAVAILABLE/DRAINING");
}

TEST_F(AdmissionTest, StreamsOfEachKindHaveALimit) {
  options_.max_publish_streams = 1;
  Start();
  CreateBoth("orders");
  PublishStream first(*client_);
  first.Send("orders", 1, {"x"});
  ASSERT_EQ(first.Take(1).size(), 1u);
  PublishStream second(*client_);
  EXPECT_EQ(CodeAndReason(second.End()), "RESOURCE_EXHAUSTED/TOO_MANY_STREAMS");
  SubscribeStream other(*client_, "orders", 1);
  EXPECT_THAT(other.TakeData(1), ElementsAre("x"));
}

TEST_F(AdmissionTest, TopicsAndSubscriptionsHaveALimit) {
  options_.max_topics = 1;
  options_.max_subscriptions = 1;
  Start();
  CreateBoth("orders");
  EXPECT_EQ(CodeAndReason(client_->CreateTopic("others")), "RESOURCE_EXHAUSTED/TOO_MANY_TOPICS");
  EXPECT_EQ(CodeAndReason(client_->CreateSubscription("others", "orders")),
            "RESOURCE_EXHAUSTED/TOO_MANY_SUBSCRIPTIONS");
}

TEST_F(AdmissionTest, NothingIsTakenThatTheMemoryBudgetHasNoRoomFor) {
  options_.memory_budget_bytes = 1 << 20;
  Start();
  CreateBoth("orders");
  const grpc::Status refused = PublishOne("orders", std::string(2 << 20, 'x'));
  EXPECT_EQ(CodeAndReason(refused), "RESOURCE_EXHAUSTED/MEMORY_BUDGET");
  // Many times the budget, with a subscriber that is behind: the cache gives way, and nothing is
  // left over.
  for (int i = 0; i < 40; ++i) client_->Publish("orders", {std::string(400 << 10, 'x')});
  SubscribeStream stream(*client_, "orders", 1000);
  EXPECT_EQ(stream.Take(40).size(), 40u);
  stream.Close();
  AwaitMetric("sluice_memory_bytes{part=\"outgoing\"} 0");
  EXPECT_THAT(Metrics(), HasSubstr("\nsluice_memory_bytes{part=\"publishes\"} 0\n"));
  EXPECT_LE(server_->engine().memory().used(), server_->engine().memory().budget());
}

TEST(PublishLimitTest, ReadsScopesLimitsAndUnits) {
  AdmissionOptions options;
  EXPECT_EQ(ParsePublishLimit("topic:batches=64,bytes=16MiB,messages/s=20k,bytes/s=1000,wait=250ms",
                              &options),
            "");
  EXPECT_EQ(options.topic.batches, 64);
  EXPECT_EQ(options.topic.bytes, 16 << 20);
  EXPECT_EQ(options.topic.messages_per_second, 20'000);
  EXPECT_EQ(options.topic.bytes_per_second, 1000);
  EXPECT_EQ(options.topic.wait, absl::Milliseconds(250));
  EXPECT_EQ(ParsePublishLimit("server:bytes=1GiB", &options), "");
  EXPECT_EQ(options.server.wait, absl::Seconds(1)) << "unless said otherwise";
  EXPECT_EQ(ParsePublishLimit("project:batches=1,wait=0", &options), "");
  EXPECT_EQ(options.project.wait, absl::ZeroDuration());
}

TEST(PublishLimitTest, SaysWhatIsWrong) {
  AdmissionOptions options;
  for (const char* text :
       {"", "topic", "batches=1", "planet:batches=1", "topic:", "topic:wait=1s", "topic:batches",
        "topic:batches=", "topic:batches=0", "topic:batches=-1", "topic:batches=1.5",
        "topic:batches=x", "topic:bytes=1XiB", "topic:bytes=99999999999G", "topic:speed=1",
        "topic:batches=1,wait=1", "topic:batches=1,wait=-1s", "topic:batches=1,wait=11m",
        "topic:batches=1,,bytes=1"}) {
    EXPECT_NE(ParsePublishLimit(text, &options), "") << text;
  }
  EXPECT_FALSE(options.topic.any());
}

}  // namespace
}  // namespace sluice::server
