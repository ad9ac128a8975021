// Many messages through several streams at once, and what is left behind when all is done: nothing.
#include <atomic>
#include <thread>

#include "client/cpp/publisher.h"
#include "client/cpp/subscriber.h"
#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"
#include "tests/support/footprint.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class LoadTest : public ServerTest {
 protected:
  std::shared_ptr<client::Connection> Connect() const {
    return client::Connection::Open(
        {.server = "127.0.0.1:" + std::to_string(server_->grpc_port())});
  }
  std::string Metrics() const { return HttpGet(server_->http_port(), "/metrics").body; }
};

// Batches of all sizes, so that one write's bytes are not those of the next.
TEST_F(LoadTest, EveryByteOfTheMemoryBudgetComesBack) {
  constexpr uint64_t kMessages = kSanitized ? 20'000 : 1'000'000;
  constexpr int kConsumers = 3;
  CreateBoth("orders");
  std::atomic<uint64_t> received = 0;
  std::vector<std::unique_ptr<client::Subscriber>> consumers;
  for (int i = 0; i < kConsumers; ++i) {
    consumers.push_back(std::make_unique<client::Subscriber>(
        Connect(), client::SubscriberTarget{.subscription = SubscriptionPath("orders")},
        client::SubscriberOptions{}));
    consumers.back()->StartBatches([&](std::span<const client::ReceivedMessage> messages) {
      received += messages.size();
      return client::Verdict::Ack();
    });
  }
  client::Publisher publisher(Connect(), TopicPath("orders"), {.batch_messages = 50});
  uint64_t published = 0;
  for (size_t size = 1; published < kMessages; size = size % 37 + 1) {
    std::vector<client::Message> batch(size);
    for (client::Message& message : batch) message.data.assign(size, 'x');
    publisher.PublishBatch(
        batch, [](const absl::StatusOr<uint64_t>& id) { ASSERT_TRUE(id.ok()) << id.status(); });
    published += size;
    // So that every batch is a write of its own.
    while (received + 2'000 < published) std::this_thread::yield();
  }
  EXPECT_TRUE(publisher.Close(absl::Seconds(20)).ok());
  while (received < published) std::this_thread::yield();
  for (auto& consumer : consumers) EXPECT_TRUE(consumer->Stop(absl::Seconds(10)).ok());
  while (Metrics().find("\nsluice_streams{kind=\"subscribe\"} 0\n") == std::string::npos)
    std::this_thread::yield();
  const std::string metrics = Metrics();
  EXPECT_THAT(metrics, HasSubstr("\nsluice_memory_bytes{part=\"outgoing\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("\nsluice_memory_bytes{part=\"publishes\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("\nsluice_memory_bytes{part=\"tail_cache\"} 0\n"));
}

}  // namespace
}  // namespace sluice::server
