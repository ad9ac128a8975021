// A server that is started again beside a C++ client that goes on: exactly once, what the client
// holds stays its own.
#include <map>
#include <memory>
#include <set>

#include "client/cpp/connection.h"
#include "client/cpp/subscriber.h"
#include "core/base/mutex.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/support/latch.h"

namespace sluice::server {
namespace {

constexpr int kMessages = 200;
// What handlers hold while the server is away.
constexpr int kHandlers = 4;

class RestartTest : public ServerTest {
 protected:
  void SetUp() override {
    UseLocalStore();
    Start();
    // Nobody is too slow for this deadline.
    CreateExactlyOnce("orders", 600);
  }
  // On the same port, as a client expects it.
  void Restart() {
    options_.listen = fmt::format("127.0.0.1:{}", server_->grpc_port());
    ASSERT_TRUE(server_->Drain().ok());
    server_ = nullptr;
    auto started = Server::Start(options_);
    ASSERT_TRUE(started.ok()) << std::string(started.status().message());
    server_ = *std::move(started);
  }

  Mutex mu_;
  std::map<uint64_t, int> handled_ GUARDED_BY(mu_);
  std::set<uint64_t> confirmed_ GUARDED_BY(mu_);
  std::vector<std::string> refused_ GUARDED_BY(mu_);
};

TEST_F(RestartTest, EachMessageIsHandledAndConfirmedOnce) {
  Latch held(kHandlers), released(1), all(kMessages);
  client::SubscriberOptions options{.concurrency = kHandlers};
  options.confirmed = [&](uint64_t id, const absl::Status& status) {
    {
      MutexLock lock(mu_);
      if (status.ok())
        confirmed_.insert(id);
      else
        refused_.push_back(fmt::format("{}: {}", id, std::string(status.message())));
    }
    all.CountDown();
  };
  client::Subscriber subscriber(
      client::Connection::Open({.server = fmt::format("127.0.0.1:{}", server_->grpc_port())}),
      {.subscription = SubscriptionPath("orders")}, options);
  subscriber.Start([&](const client::ReceivedMessage& message) {
    {
      MutexLock lock(mu_);
      ++handled_[message.id];
      EXPECT_EQ(message.attempt, 1u);
    }
    held.CountDown();
    released.Wait();
    return client::Verdict::Ack();
  });
  std::vector<std::string> payloads;
  for (int i = 0; i < kMessages; ++i) payloads.push_back(std::to_string(i));
  client_->Publish("orders", payloads);
  held.Wait();
  Restart();
  Client late(server_->grpc_port());
  SubscribeStream other(late, "orders", kMessages);
  released.CountDown();
  all.Wait();
  EXPECT_TRUE(subscriber.Stop(absl::Minutes(1)).ok());
  other.Cancel();
  EXPECT_EQ(subscriber.counters().received, static_cast<uint64_t>(kMessages));
  MutexLock lock(mu_);
  EXPECT_EQ(confirmed_.size(), static_cast<size_t>(kMessages));
  EXPECT_THAT(refused_, testing::IsEmpty());
  for (const auto& [id, times] : handled_) EXPECT_EQ(times, 1) << id;
}

}  // namespace
}  // namespace sluice::server
