// Disks that are full or damaged, seen through gRPC.
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "google/pubsub/v1/pubsub.grpc.pb.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"
#include "tests/support/fault_files.h"
#include "tests/support/http_endpoint.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ErrorPropagation : public ServerTest {
 protected:
  void SetUp() override { UseLocalStore(); }

  grpc::Status TryPublish(const std::string& topic, size_t bytes) {
    v1::PublishBatchRequest request;
    v1::PublishBatchResponse response;
    request.set_topic(TopicPath(topic));
    request.add_messages()->set_data(std::string(bytes, 'x'));
    return client_->PublishBatch(request, &response);
  }
};

TEST_F(ErrorPropagation, FullDiskRefusesMessagesServesAndTakesAcksAndThenAcceptsAgain) {
  constexpr size_t kLarge = 1 << 20;
  FaultFiles files;
  options_.files = &files;
  Start();
  CreateBoth("orders");
  files.SetFull(true);
  uint64_t stored = 0;
  grpc::Status status;
  while ((status = TryPublish("orders", kLarge)).ok()) ++stored;
  EXPECT_EQ(CodeAndReason(status), "RESOURCE_EXHAUSTED/STORAGE_FULL");
  EXPECT_GT(stored, 0u);
  // Consumers are to be sent here all the same: what they acknowledge gives space back.
  EXPECT_EQ(HttpGet(server_->http_port(), "/readyz").status, 200);
  EXPECT_EQ(HealthOf(*client_, "readiness"), 1u);
  EXPECT_EQ(HealthOf(*client_, "publish"), 2u);
  SubscribeStream stream(*client_, "orders", 10);
  const auto got = stream.Take(2);
  ASSERT_EQ(got.size(), 2u);
  stream.Ack(got[0].delivery_id(), got[1].delivery_id());
  EXPECT_EQ(CodeAndReason(stream.Close()), "OK");
  EXPECT_EQ(client_->Stats("orders").acked_messages(), 2u);
  files.SetFull(false);
  EXPECT_EQ(CodeAndReason(TryPublish("orders", kLarge)), "OK");
  EXPECT_EQ(HealthOf(*client_, "publish"), 1u);
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), stored + 1 - 2);
  client_ = nullptr;
  server_ = nullptr;
}

// A topic "damaged" of which the second message cannot be read, with a subscription "damaged" that
// begins at the first.
class DamagedRecord : public ErrorPropagation {
 protected:
  void SetUp() override {
    ErrorPropagation::SetUp();
    Start();
    CreateBoth("damaged");
    CreateBoth("sound");
  }
  void PublishAndDamage() {
    client_->Publish("damaged", {"before"});
    client_->Publish("damaged", {"find this payload"});
    client_->Publish("damaged", {"after"});
    client_->Publish("sound", {"sound"});
    client_ = nullptr;
    server_ = nullptr;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(options_.data_dir)) {
      if (entry.path().extension() != ".journal") continue;
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(in)),
                              std::istreambuf_iterator<char>());
      const size_t at = bytes.find("find this payload");
      if (at == std::string::npos) continue;
      std::fstream(entry.path(), std::ios::binary | std::ios::in | std::ios::out)
          .seekp(static_cast<std::streamoff>(at))
          .put('!');
    }
    Start();
  }
  grpc::Status SeekBehind() {
    v1::SeekSubscriptionRequest request;
    v1::SeekSubscriptionResponse response;
    request.set_name(SubscriptionPath("damaged"));
    request.mutable_position()->set_message_id(3);
    return client_->Call(&v1::Admin::Stub::SeekSubscription, request, &response);
  }
  grpc::Status Skip(bool skip) {
    v1::UpdateSubscriptionRequest request;
    v1::UpdateSubscriptionResponse response;
    request.mutable_subscription()->set_name(SubscriptionPath("damaged"));
    request.mutable_subscription()->set_skip_damaged(skip);
    request.mutable_update_mask()->add_paths("skip_damaged");
    const grpc::Status status =
        client_->Call(&v1::Admin::Stub::UpdateSubscription, request, &response);
    EXPECT_EQ(response.subscription().skip_damaged(), skip);
    return status;
  }
  std::string Metrics() { return HttpGet(server_->http_port(), "/metrics").body; }
};

TEST_F(DamagedRecord, IsDataLossForItsTopicAndTheOthersServeOn) {
  PublishAndDamage();
  SubscribeStream damaged(*client_, "damaged", 10);
  const auto got = damaged.Take(1);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].message().data(), "before");
  damaged.Ack(got[0].delivery_id());
  const grpc::Status end = damaged.End();
  EXPECT_EQ(CodeAndReason(end), "DATA_LOSS/DATA_LOSS");
  EXPECT_THAT(end.error_message(),
              HasSubstr(TopicPath("damaged") + ": the messages with ids 2 to 2"));
  EXPECT_EQ(client_->Stats("damaged").backlog_messages(), 2u);
  SubscribeStream sound(*client_, "sound", 10);
  EXPECT_THAT(sound.TakeData(1), ElementsAre("sound"));
  EXPECT_EQ(CodeAndReason(TryPublish("sound", 1)), "OK");
  EXPECT_THAT(Metrics(), HasSubstr("\nsluice_store_damaged_places 1\n"));
}

TEST_F(DamagedRecord, IsPassedByASeekWithoutARestart) {
  PublishAndDamage();
  SubscribeStream first(*client_, "damaged", 10);
  for (const auto& delivery : first.Take(1)) first.Ack(delivery.delivery_id());
  EXPECT_EQ(CodeAndReason(first.End()), "DATA_LOSS/DATA_LOSS");
  // A stream that is opened again ends at once, perhaps before its Opened response.
  SubscribeStream again(*client_);
  v1::SubscribeRequest request;
  request.set_subscription(SubscriptionPath("damaged"));
  *request.mutable_credit() = SubscribeStream::CreditOf(10);
  again.Send(request);
  EXPECT_EQ(CodeAndReason(again.End()), "DATA_LOSS/DATA_LOSS");
  EXPECT_EQ(CodeAndReason(SeekBehind()), "OK");
  SubscribeStream next(*client_, "damaged", 10);
  EXPECT_THAT(next.TakeData(1), ElementsAre("after"));
}

TEST_F(DamagedRecord, IsSkippedByASubscriptionThatIsSetTo) {
  PublishAndDamage();
  EXPECT_EQ(CodeAndReason(Skip(true)), "OK");
  SubscribeStream stream(*client_, "damaged", 10);
  EXPECT_THAT(stream.TakeData(2), ElementsAre("before", "after"));
  EXPECT_THAT(Metrics(), HasSubstr("\nsluice_skipped_damaged_messages_total 1\n"));
  EXPECT_EQ(CodeAndReason(Skip(false)), "OK");
}

TEST_F(DamagedRecord, IsDataLossForAPullOnceWhatIsBeforeItIsAcknowledged) {
  PublishAndDamage();
  const auto subscriber = google::pubsub::v1::Subscriber::NewStub(client_->channel());
  for (const bool at_once : {false, true, false}) {
    google::pubsub::v1::PullRequest request;
    google::pubsub::v1::PullResponse response;
    request.set_subscription(SubscriptionPath("damaged"));
    request.set_max_messages(10);
    request.set_return_immediately(at_once);
    grpc::ClientContext first;
    Client::SetDeadline(&first);
    const grpc::Status status = subscriber->Pull(&first, request, &response);
    if (response.received_messages().empty()) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS) << at_once;
      continue;
    }
    EXPECT_EQ(response.received_messages(0).message().data(), "before");
    google::pubsub::v1::AcknowledgeRequest ack;
    google::protobuf::Empty nothing;
    ack.set_subscription(SubscriptionPath("damaged"));
    ack.add_ack_ids(response.received_messages(0).ack_id());
    grpc::ClientContext second;
    EXPECT_TRUE(subscriber->Acknowledge(&second, ack, &nothing).ok());
  }
  EXPECT_EQ(client_->Stats("damaged").backlog_messages(), 2u);
}

TEST_F(DamagedRecord, IsPassedByPushesAfterASeek) {
  PublishAndDamage();
  HttpEndpoint endpoint(204);
  v1::UpdateSubscriptionRequest request;
  v1::UpdateSubscriptionResponse response;
  request.mutable_subscription()->set_name(SubscriptionPath("damaged"));
  request.mutable_subscription()->mutable_push()->set_endpoint(endpoint.url("/push"));
  request.mutable_update_mask()->add_paths("push");
  ASSERT_EQ(CodeAndReason(client_->Call(&v1::Admin::Stub::UpdateSubscription, request, &response)),
            "OK");
  const auto backlog_is = [&](int64_t messages) {
    for (int i = 0; i < 4000 && client_->Stats("damaged").backlog_messages() != messages; ++i)
      absl::SleepFor(absl::Milliseconds(10));
    return client_->Stats("damaged").backlog_messages() == messages;
  };
  EXPECT_TRUE(backlog_is(2));
  EXPECT_EQ(CodeAndReason(SeekBehind()), "OK");
  EXPECT_TRUE(backlog_is(0));
}

}  // namespace
}  // namespace sluice::server
