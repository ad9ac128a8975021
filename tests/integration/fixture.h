// A server in the test's own process, on ports of its own, over the memory store or over a folder
// that goes with the test.
//
// Thread rule: one thread.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "server/process/server.h"
#include "tests/integration/client.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }

  void Start() {
    options_.listen = "127.0.0.1:0";
    options_.http = "127.0.0.1:0";
    auto started = Server::Start(options_);
    ASSERT_TRUE(started.ok()) << std::string(started.status().message());
    server_ = *std::move(started);
    client_ = std::make_unique<Client>(server_->grpc_port());
  }
  void UseLocalStore() {
    options_.store = StoreKind::kLocal;
    options_.data_dir = folder_.path() + "/data";
  }

  // A topic with a subscription of the same name.
  void CreateBoth(const std::string& id) {
    ASSERT_EQ(CodeAndReason(client_->CreateTopic(id)), "OK");
    ASSERT_EQ(CodeAndReason(client_->CreateSubscription(id, id)), "OK");
  }

  // The same, with exactly-once delivery.
  void CreateExactlyOnce(const std::string& id, int ack_deadline_seconds) {
    ASSERT_EQ(CodeAndReason(client_->CreateTopic(id)), "OK");
    v1::Subscription subscription;
    subscription.set_name(SubscriptionPath(id));
    subscription.set_topic(TopicPath(id));
    subscription.set_enable_exactly_once_delivery(true);
    subscription.set_ack_deadline_seconds(ack_deadline_seconds);
    ASSERT_EQ(CodeAndReason(client_->CreateSubscription(subscription)), "OK");
  }

  Options MemoryOptions() {
    Options options;
    options.store = StoreKind::kMemory;
    return options;
  }

  TempFolder folder_;
  Options options_ = MemoryOptions();
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

// The same test over every store.
class StoreTest : public ServerTest, public ::testing::WithParamInterface<StoreKind> {
 protected:
  void SetUp() override {
    if (GetParam() == StoreKind::kLocal) UseLocalStore();
    Start();
  }
};

#define SLUICE_OVER_EVERY_STORE(suite)                                   \
  INSTANTIATE_TEST_SUITE_P(                                              \
      , suite, ::testing::Values(StoreKind::kMemory, StoreKind::kLocal), \
      [](const auto& i) { return i.param == StoreKind::kLocal ? "local" : "memory"; })

}  // namespace sluice::server
