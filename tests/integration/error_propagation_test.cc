// Disks that are full or damaged, seen through gRPC.
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"
#include "tests/support/fault_files.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;

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

TEST_F(ErrorPropagation, DamagedRecordIsDataLossForItsTopicAndTheOthersServeOn) {
  Start();
  CreateBoth("damaged");
  CreateBoth("sound");
  client_->Publish("damaged", {"find this payload"});
  client_->Publish("sound", {"sound"});
  client_ = nullptr;
  server_ = nullptr;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(options_.data_dir)) {
    if (entry.path().extension() != ".journal") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const size_t at = bytes.find("find this payload");
    if (at == std::string::npos) continue;
    std::fstream(entry.path(), std::ios::binary | std::ios::in | std::ios::out).seekp(static_cast<std::streamoff>(at)).put('!');
  }
  Start();
  SubscribeStream damaged(*client_);
  v1::SubscribeRequest request;
  request.set_subscription(SubscriptionPath("damaged"));
  *request.mutable_credit() = SubscribeStream::CreditOf(10);
  damaged.Send(request);
  EXPECT_EQ(CodeAndReason(damaged.End()), "DATA_LOSS/DATA_LOSS");
  SubscribeStream sound(*client_, "sound", 10);
  EXPECT_THAT(sound.TakeData(1), ElementsAre("sound"));
  EXPECT_EQ(CodeAndReason(TryPublish("sound", 1)), "OK");
}

}  // namespace
}  // namespace sluice::server
