// SIGTERM in the middle of the work, again and again: every client is told UNAVAILABLE and nothing
// else, the process ends without an error, and what was acknowledged to a publisher is delivered.
#include <atomic>
#include <memory>
#include <set>
#include <thread>

#include "core/base/mutex.h"
#include "gmock/gmock.h"
#include "tests/integration/client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

constexpr int kRounds = 20;
// Published before the signal comes.
constexpr uint64_t kUnderWay = 200;

// What publishers were told is stored, and what subscribers got.
class Book {
 public:
  void Stored(const std::string& data) {
    MutexLock lock(mu_);
    stored_.insert(data);
  }
  void Received(const std::string& data) {
    MutexLock lock(mu_);
    received_.insert(data);
  }
  size_t stored() const {
    MutexLock lock(mu_);
    return stored_.size();
  }
  size_t missing() const {
    MutexLock lock(mu_);
    size_t missing = 0;
    for (const std::string& data : stored_) missing += received_.count(data) == 0 ? 1 : 0;
    return missing;
  }

 private:
  mutable Mutex mu_;
  std::set<std::string> stored_ GUARDED_BY(mu_);
  std::set<std::string> received_ GUARDED_BY(mu_);
};

class DrainTest : public testing::Test {
 protected:
  DrainTest()
      : process_(SLUICED, {"--data-dir=" + folder_.path() + "/data", "--shutdown-timeout=10s"}) {}

  int Start() {
    process_.Start();
    return std::stoi(process_.port());
  }
  // Calls until one fails; how that is told.
  grpc::Status PublishCalls(int port, const std::string& name) {
    Client client(port);
    grpc::Status status;
    for (int i = 0; status.ok(); ++i) {
      v1::PublishBatchRequest request;
      v1::PublishBatchResponse response;
      const std::string data = name + std::to_string(i);
      request.set_topic(TopicPath("orders"));
      request.add_messages()->set_data(data);
      status = client.PublishBatch(request, &response);
      if (status.ok()) book_.Stored(data);
    }
    return status;
  }
  grpc::Status PublishOnStream(int port, const std::string& name) {
    Client client(port);
    PublishStream stream(client);
    for (int i = 0;; ++i) {
      const std::string data = name + std::to_string(i);
      if (!stream.Send("orders", static_cast<uint64_t>(i), {data})) return stream.End();
      const auto results = stream.Take(1);
      if (results.empty()) return stream.End();
      if (!results[0].has_error()) book_.Stored(data);
    }
  }
  grpc::Status Receive(int port) {
    Client client(port);
    SubscribeStream stream(client, "orders", 1 << 20);
    for (;;) {
      const auto deliveries = stream.Take(1);
      if (deliveries.empty()) return stream.End();
      book_.Received(deliveries[0].message().data());
      stream.Ack(deliveries[0].delivery_id());
    }
  }

  TempFolder folder_;
  ServerProcess process_;
  Book book_;
};

TEST_F(DrainTest, EveryClientIsToldThatItIsUnavailableAndNothingIsLost) {
  {
    Client client(Start());
    ASSERT_TRUE(client.CreateTopic("orders").ok());
    ASSERT_TRUE(client.CreateSubscription("orders", "orders").ok());
  }
  for (int round = 0; round < kRounds; ++round) {
    const int port = std::stoi(process_.port());
    const std::string name = std::to_string(round);
    std::vector<grpc::Status> ends(4);
    std::vector<std::thread> threads;
    threads.emplace_back([&] { ends[0] = PublishCalls(port, name + "/a/"); });
    threads.emplace_back([&] { ends[1] = PublishCalls(port, name + "/b/"); });
    threads.emplace_back([&] { ends[2] = PublishOnStream(port, name + "/c/"); });
    threads.emplace_back([&] { ends[3] = Receive(port); });
    const size_t before = book_.stored();
    while (book_.stored() < before + kUnderWay) std::this_thread::yield();
    process_.Signal(SIGTERM);
    EXPECT_EQ(process_.Wait(), 0) << "round " << round;
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 0; i < ends.size(); ++i) {
      EXPECT_EQ(ends[i].error_code(), grpc::StatusCode::UNAVAILABLE)
          << ends[i].error_message() << ", client " << i << ", round " << round;
    }
    Start();
  }
  Client client(std::stoi(process_.port()));
  std::thread rest([&] { Receive(std::stoi(process_.port())); });
  while (client.Stats("orders").backlog_messages() > 0) std::this_thread::yield();
  process_.Signal(SIGTERM);
  EXPECT_EQ(process_.Wait(), 0);
  rest.join();
  EXPECT_GE(book_.stored(), kRounds * kUnderWay);
  EXPECT_EQ(book_.missing(), 0u);
}

}  // namespace
}  // namespace sluice::server
