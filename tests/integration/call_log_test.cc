// Calls that fail, in the log.
#include <string>

#include "gmock/gmock.h"
#include "server/log/log.h"
#include "server/rpc/call_end.h"
#include "tests/integration/fixture.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CallLogTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    testing::internal::CaptureStderr();
  }
  void TearDown() override {
    if (!read_) Logged();
    SetLogLevels({});
  }
  std::string Logged() {
    read_ = true;
    return testing::internal::GetCapturedStderr();
  }
  static void TellAll() {
    LogLevels levels;
    ASSERT_EQ(ParseLogLevels("server=debug", &levels), "");
    SetLogLevels(levels);
  }
  static void Name(grpc::ClientContext* context) {
    Client::SetDeadline(context);
    context->AddMetadata("x-request-id", "request-17");
    context->AddMetadata("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  }
  grpc::Status AskForNothing() {
    grpc::ClientContext context;
    Name(&context);
    v1::PublishBatchRequest request;
    v1::PublishBatchResponse response;
    request.set_topic(TopicPath("nothing"));
    request.add_messages()->set_data("secret payload");
    return client_->pubsub().PublishBatch(&context, request, &response);
  }

 private:
  bool read_ = false;
};

TEST_F(CallLogTest, ARefusedCallIsToldAtDebugWithWhatTheClientCallsIt) {
  TellAll();
  EXPECT_EQ(CodeAndReason(AskForNothing()), "NOT_FOUND/TOPIC_NOT_FOUND");
  const std::string log = Logged();
  EXPECT_THAT(log, HasSubstr("debug a call was refused rpc=sluice.v1.PubSub/PublishBatch "
                             "code=NOT_FOUND reason=TOPIC_NOT_FOUND error="));
  EXPECT_THAT(log, HasSubstr(" peer=ipv4:127.0.0.1:"));
  EXPECT_THAT(log, HasSubstr(" request_id=request-17 trace_id=4bf92f3577b34da6a3ce929d0e0e4736"));
  EXPECT_THAT(log, Not(HasSubstr("secret payload")));
}

TEST_F(CallLogTest, SoIsAStream) {
  TellAll();
  grpc::ClientContext context;
  Name(&context);
  auto stream = client_->pubsub().Subscribe(&context);
  v1::SubscribeRequest request;
  request.set_subscription(SubscriptionPath("nothing"));
  stream->Write(request);
  EXPECT_EQ(CodeAndReason(stream->Finish()), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
  const std::string log = Logged();
  EXPECT_THAT(log,
              HasSubstr("debug a call was refused rpc=sluice.v1.PubSub/Subscribe code=NOT_FOUND"));
  EXPECT_THAT(log, HasSubstr(" request_id=request-17 trace_id="));
}

TEST_F(CallLogTest, WhatClientsDoWrongIsNotInTheLogOtherwise) {
  EXPECT_EQ(CodeAndReason(AskForNothing()), "NOT_FOUND/TOPIC_NOT_FOUND");
  EXPECT_THAT(Logged(), IsEmpty());
}

TEST_F(CallLogTest, WhatTheServerDoesWrongIsAWarning) {
  const grpc::CallbackServerContext call;
  LogFailure(Rpc::kCreateTopic, call, absl::DataLossError("segment 7 is damaged"));
  LogFailure(Rpc::kCreateTopic, call, absl::NotFoundError("there is no such topic"));
  const std::string log = Logged();
  EXPECT_THAT(log, HasSubstr("warning a call failed rpc=sluice.v1.Admin/CreateTopic code=DATA_LOSS "
                             "error=\"segment 7 is damaged\"\n"));
  EXPECT_THAT(log, Not(HasSubstr("no such topic")));
}

}  // namespace
}  // namespace sluice::server
