// The program itself: what it makes of signals, and what it says when it cannot start.
#include <cstdlib>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "tests/integration/client.h"
#include "tests/integration/raw.h"
#include "tests/support/notify_socket.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

class SignalsTest : public testing::Test {
 protected:
  SignalsTest()
      : process_(SLUICED, {"--data-dir=" + folder_.path() + "/data", "--shutdown-timeout=2s"}) {
    Start();
    EXPECT_TRUE(client_->CreateTopic("orders").ok());
    EXPECT_TRUE(client_->CreateSubscription("orders", "orders").ok());
  }

  void Start() {
    process_.Start();
    client_ = std::make_unique<Client>(std::stoi(process_.port()));
  }
  // More than what fits on the way to a stream that is not read.
  void FillUp() {
    const std::string large(1 << 20, 'x');
    for (int i = 0; i < 50; ++i) client_->Publish("orders", {large});
  }

  TempFolder folder_;
  ServerProcess process_;
  std::unique_ptr<Client> client_;
};

TEST_F(SignalsTest, TermEndsStreamsAndTheProcessWithoutAnError) {
  client_->Publish("orders", {"kept"});
  SubscribeStream stream(*client_, "orders");
  process_.Signal(SIGTERM);
  EXPECT_EQ(CodeAndReason(stream.End()), "UNAVAILABLE/DRAINING");
  EXPECT_EQ(process_.Wait(), 0);
  Start();
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 1u);
}

TEST_F(SignalsTest, AClientThatDoesNotReadCannotHoldItUp) {
  SubscribeStream stream(*client_, "orders", 1000, 1 << 30);
  FillUp();
  process_.Signal(SIGTERM);
  EXPECT_EQ(process_.Wait(), 0);
}

TEST_F(SignalsTest, ASecondSignalEndsItAtOnce) {
  process_.Kill();
  ServerProcess patient(SLUICED,
                        {"--data-dir=" + folder_.path() + "/data", "--shutdown-timeout=10m"});
  patient.Start();
  client_ = std::make_unique<Client>(std::stoi(patient.port()));
  SubscribeStream stream(*client_, "orders", 1000, 1 << 30);
  FillUp();
  patient.Signal(SIGTERM);
  patient.Signal(SIGINT);
  EXPECT_THAT(patient.Wait(), testing::AnyOf(128 + SIGINT, 128 + SIGTERM));
}

// The publish that hangs is not answered, so nothing that was acknowledged is lost.
TEST_F(SignalsTest, ADiskThatHangsCannotHoldItUp) {
  process_.Kill();
  const std::string hang = folder_.path() + "/hang";
  ::setenv("LD_PRELOAD", HANG_SYNC, 1);                     // NOLINT(concurrency-mt-unsafe)
  ::setenv("HANG_SYNC", hang.c_str(), 1);                   // NOLINT(concurrency-mt-unsafe)
  ::setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0);  // NOLINT(concurrency-mt-unsafe)
  Start();
  ::unsetenv("LD_PRELOAD");  // NOLINT(concurrency-mt-unsafe)
  std::ofstream(hang) << "now";
  std::thread publisher([this] {
    v1::PublishBatchRequest request;
    v1::PublishBatchResponse response;
    request.set_topic(TopicPath("orders"));
    request.add_messages()->set_data("x");
    EXPECT_FALSE(client_->PublishBatch(request, &response).ok());
  });
  while (HttpGet(std::stoi(process_.http_port()), "/metrics")
             .body.find("\nsluice_store_appended_bytes_total 0\n") != std::string::npos) {
  }
  const absl::Time begin = absl::Now();
  process_.Signal(SIGTERM);
  EXPECT_EQ(process_.Wait(), 1);
  // --shutdown-timeout, a second, and what a busy machine takes.
  EXPECT_LT(absl::Now() - begin, absl::Seconds(20));
  publisher.join();
}

TEST_F(SignalsTest, TheServiceManagerHearsOfAllOfIt) {
  process_.Kill();
  NotifySocket manager(folder_.path() + "/notify");
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  ::setenv("NOTIFY_SOCKET", (folder_.path() + "/notify").c_str(), 1);
  ::setenv("WATCHDOG_USEC", "3600000000", 1);  // NOLINT(concurrency-mt-unsafe)
  Start();
  ::unsetenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe)
  ::unsetenv("WATCHDOG_USEC");  // NOLINT(concurrency-mt-unsafe)
  const std::string ready =
      "READY=1\nSTATUS=gRPC on 127.0.0.1:" + process_.port() + ", HTTP on 127.0.0.1:";
  EXPECT_THAT(manager.Receive(), testing::StartsWith(ready));
  // The first of many: it has asked itself whether it is alive.
  EXPECT_EQ(manager.Receive(), "WATCHDOG=1");
  process_.Signal(SIGHUP);
  EXPECT_THAT(manager.Receive(), testing::StartsWith("RELOADING=1\n"));
  EXPECT_THAT(manager.Receive(), testing::StartsWith(ready));
  process_.Signal(SIGTERM);
  EXPECT_THAT(manager.Receive(), testing::StartsWith("STOPPING=1\n"));
  EXPECT_EQ(process_.Wait(), 0);
}

TEST_F(SignalsTest, KilledItComesBackWithWhatItAcknowledged) {
  client_->Publish("orders", {"a", "b"});
  process_.Kill();
  Start();
  SubscribeStream stream(*client_, "orders", 10);
  EXPECT_THAT(stream.TakeData(2), testing::ElementsAre("a", "b"));
}

}  // namespace
}  // namespace sluice::server
