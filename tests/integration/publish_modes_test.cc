// A batch of which some messages break a limit: all or nothing, or what can be stored.
#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// good, empty, good, priority out of bounds.
template <class Request>
void FillMixed(Request* request) {
  request->set_topic(TopicPath("orders"));
  request->add_messages()->set_data("one");
  request->add_messages();
  request->add_messages()->set_data("two");
  request->add_messages()->set_data("three");
  request->mutable_messages(3)->set_priority(10);
}

class PublishModesTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    CreateBoth("orders");
  }
  v1::PublishResult Send(const v1::PublishRequest& request) {
    PublishStream stream(*client_);
    stream.Send(request);
    stream.Close();
    const auto results = stream.Take(1);
    EXPECT_EQ(CodeAndReason(stream.End()), "OK");
    return results.empty() ? v1::PublishResult() : results[0];
  }
  std::vector<std::string> Stored(size_t count) {
    EXPECT_EQ(client_->Stats("orders").backlog_messages(), static_cast<int64_t>(count));
    SubscribeStream stream(*client_, "orders", 100);
    return stream.TakeData(count);
  }
};
SLUICE_OVER_EVERY_STORE(PublishModesTest);

TEST_P(PublishModesTest, AllOrNothingStoresNothingOfABatchWithABadMessage) {
  for (const auto mode : {v1::PUBLISH_MODE_UNSPECIFIED, v1::PUBLISH_MODE_ALL_OR_NOTHING}) {
    v1::PublishRequest request;
    FillMixed(&request);
    request.set_mode(mode);
    const v1::PublishResult result = Send(request);
    EXPECT_EQ(result.error().reason(), "EMPTY_MESSAGE");
    EXPECT_EQ(result.count(), 0u);
    EXPECT_EQ(result.failures_size(), 0);
  }
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 0);
}

TEST_P(PublishModesTest, PartialStoresTheGoodOnesAndNamesTheOthers) {
  v1::PublishRequest request;
  FillMixed(&request);
  request.set_mode(v1::PUBLISH_MODE_PARTIAL);
  const v1::PublishResult result = Send(request);
  EXPECT_FALSE(result.has_error());
  EXPECT_EQ(result.first_message_id(), 1u);
  EXPECT_EQ(result.count(), 2u);
  ASSERT_EQ(result.failures_size(), 2);
  EXPECT_EQ(result.failures(0).index(), 1u);
  EXPECT_EQ(result.failures(0).error().reason(), "EMPTY_MESSAGE");
  EXPECT_THAT(result.failures(0).error().message(), HasSubstr("messages[1]"));
  EXPECT_EQ(result.failures(1).index(), 3u);
  EXPECT_EQ(result.failures(1).error().reason(), "INVALID_PRIORITY");
  EXPECT_EQ(result.failures(1).error().code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(client_->Publish("orders", {"next"}), 3u) << "the failed ones took no id";
  EXPECT_THAT(Stored(3), ElementsAre("one", "two", "next"));
  EXPECT_THAT(HttpGet(server_->http_port(), "/metrics").body,
              HasSubstr("\nsluice_refused_requests_total{reason=\"INVALID_PRIORITY\"} 1\n"));
}

TEST_P(PublishModesTest, TheSingleCallDoesTheSame) {
  v1::PublishBatchRequest request;
  FillMixed(&request);
  v1::PublishBatchResponse response;
  EXPECT_EQ(CodeAndReason(client_->PublishBatch(request, &response)),
            "INVALID_ARGUMENT/EMPTY_MESSAGE");
  request.set_mode(v1::PUBLISH_MODE_PARTIAL);
  ASSERT_EQ(CodeAndReason(client_->PublishBatch(request, &response)), "OK");
  EXPECT_EQ(response.first_message_id(), 1u);
  EXPECT_EQ(response.count(), 2u);
  ASSERT_EQ(response.failures_size(), 2);
  EXPECT_EQ(response.failures(0).index(), 1u);
  EXPECT_EQ(response.failures(1).index(), 3u);
  EXPECT_THAT(Stored(2), ElementsAre("one", "two"));
}

TEST_P(PublishModesTest, PartialWithNothingGoodStoresNothingAndSaysWhyOfEach) {
  v1::PublishRequest request;
  request.set_topic(TopicPath("orders"));
  request.set_mode(v1::PUBLISH_MODE_PARTIAL);
  request.add_messages();
  request.add_messages();
  const v1::PublishResult result = Send(request);
  EXPECT_FALSE(result.has_error());
  EXPECT_EQ(result.count(), 0u);
  EXPECT_EQ(result.first_message_id(), 0u);
  EXPECT_EQ(result.failures_size(), 2);
}

TEST_P(PublishModesTest, WhatConcernsTheBatchRefusesAllOfIt) {
  v1::PublishBatchRequest request;
  v1::PublishBatchResponse response;
  request.set_topic(TopicPath("orders"));
  request.set_mode(v1::PUBLISH_MODE_PARTIAL);
  EXPECT_EQ(CodeAndReason(client_->PublishBatch(request, &response)),
            "INVALID_ARGUMENT/NO_MESSAGES");
  for (int i = 0; i < 1001; ++i) request.add_messages()->set_data("x");
  EXPECT_EQ(CodeAndReason(client_->PublishBatch(request, &response)),
            "INVALID_ARGUMENT/TOO_MANY_MESSAGES");
}

TEST_P(PublishModesTest, ANumberedBatchIsNeverPartial) {
  v1::PublishRequest request;
  FillMixed(&request);
  request.set_mode(v1::PUBLISH_MODE_PARTIAL);
  request.set_producer_id("till");
  request.set_sequence(1);
  const v1::PublishResult result = Send(request);
  EXPECT_EQ(result.error().reason(), "INVALID_PRODUCER");
  EXPECT_EQ(result.error().code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 0);
}

TEST_P(PublishModesTest, UnknownModesAndTimeoutsOfNothingAreRefused) {
  v1::PublishRequest request;
  request.set_topic(TopicPath("orders"));
  request.add_messages()->set_data("x");
  request.set_mode(static_cast<v1::PublishMode>(7));
  EXPECT_EQ(Send(request).error().reason(), "UNSUPPORTED");
  request.set_mode(v1::PUBLISH_MODE_UNSPECIFIED);
  request.mutable_timeout();
  EXPECT_EQ(Send(request).error().reason(), "INVALID_TIMEOUT");
  request.mutable_timeout()->set_seconds(-1);
  EXPECT_EQ(Send(request).error().reason(), "INVALID_TIMEOUT");
  request.mutable_timeout()->set_seconds(60);
  EXPECT_EQ(Send(request).count(), 1u);
}

}  // namespace
}  // namespace sluice::server
