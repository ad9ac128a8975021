// The file of --config.
#include <fstream>

#include "gmock/gmock.h"
#include "server/process/startup_file.h"
#include "tests/integration/fixture.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class StartupFileTest : public ServerTest {
 protected:
  void SetUp() override {
    UseLocalStore();
    options_.config_file = folder_.path() + "/config.yaml";
    options_.listen = options_.http = "127.0.0.1:0";
  }
  void Write(const std::string& text) { std::ofstream(options_.config_file) << text; }
  // Why the server does not start.
  std::string Refusal() {
    auto started = Server::Start(options_);
    return started.ok() ? "" : std::string(started.status().message());
  }
  v1::Subscription Get(const std::string& name) {
    v1::GetSubscriptionRequest request;
    v1::GetSubscriptionResponse response;
    request.set_name(name);
    EXPECT_TRUE(client_->Call(&v1::Admin::Stub::GetSubscription, request, &response).ok()) << name;
    return response.subscription();
  }
};

TEST_F(StartupFileTest, WhatItNamesIsThereWhenTheServerIs) {
  Write(R"(project: test
topics:
  - orders
  - name: graveyard
    retention: 86400s
    labels: {team: blue, on: "true"}
subscriptions:
  - name: billing
    topic: orders
    ack_deadline_seconds: 30
    enable_message_ordering: true
    dead_letter_policy: {dead_letter_topic: graveyard, max_delivery_attempts: 7}
  - {name: projects/other/subscriptions/audit, topic: orders, filter: 'attributes:a', push: {endpoint: "https://example.com/"}}
)");
  Start();
  const auto billing = Get(SubscriptionPath("billing"));
  EXPECT_EQ(billing.topic(), TopicPath("orders"));
  EXPECT_EQ(billing.ack_deadline_seconds(), 30);
  EXPECT_TRUE(billing.enable_message_ordering());
  EXPECT_EQ(billing.dead_letter_policy().dead_letter_topic(), TopicPath("graveyard"));
  EXPECT_EQ(billing.dead_letter_policy().max_delivery_attempts(), 7);
  EXPECT_EQ(Get("projects/other/subscriptions/audit").push().endpoint(), "https://example.com/");
}

TEST_F(StartupFileTest, AProjectMayBeANumber) {
  Write(
      "project: 123456789012\ntopics: [orders]\nsubscriptions: [{name: billing, topic: orders}]\n");
  Start();
  EXPECT_EQ(Get("projects/123456789012/subscriptions/billing").topic(),
            "projects/123456789012/topics/orders");
}

TEST_F(StartupFileTest, WhatThereIsAlreadyStaysAsItIs) {
  Write(
      "project: test\ntopics: [orders]\nsubscriptions: [{name: billing, topic: orders, "
      "ack_deadline_seconds: 30}]\n");
  Start();
  client_->Publish("orders", {"a"});
  server_ = nullptr;
  Write(
      "project: test\ntopics: [orders, more]\nsubscriptions: [{name: billing, topic: orders, "
      "ack_deadline_seconds: 60}]\n");
  Start();
  EXPECT_EQ(Get(SubscriptionPath("billing")).ack_deadline_seconds(), 30);
  EXPECT_EQ(client_->Stats("billing").backlog_messages(), 1);
  client_->Publish("more", {"b"});
}

TEST_F(StartupFileTest, AnEmptyFileIsNone) {
  Write("");
  Start();
}

TEST_F(StartupFileTest, WhatIsWrongIsNamedWithItsLine) {
  const std::string& file = options_.config_file;
  Write("topics:\n  - orders\nsubscriptoins: []\n");
  EXPECT_EQ(Refusal(), file + ":3: subscriptoins: is not known; did you mean subscriptions?");
  Write("topics:\n  - name: orders\n    retenton: 1s\n");
  EXPECT_THAT(Refusal(), HasSubstr(file + ":2: topics: "));
  EXPECT_THAT(Refusal(), HasSubstr("retenton"));
  Write("topics:\n  - name: orders\n    retention: 1s\n");
  EXPECT_EQ(Refusal(), file + ":2: topic.retention: 1s, but it must be 10m to 744h");
  Write("topics: {\n");
  EXPECT_THAT(Refusal(), HasSubstr(file + ":"));
  Write("topics: orders\n");
  EXPECT_EQ(Refusal(), file + ":1: topics: must be a list");
  Write("- orders\n");
  EXPECT_EQ(Refusal(), file + ":1: must be a map of settings; it is a list");
  Write("subscriptions:\n  - {name: billing, topic: missing}\n");
  EXPECT_EQ(Refusal(), file + ":2: Resource not found (resource=projects/local/topics/missing).");
  Write("push: {max_requests: 0}\n");
  EXPECT_EQ(Refusal(), file + ":1: push.max_requests: must be a number from 1 to 100000; it is 0");
  Write(
      "topics: [orders]\nsubscriptions:\n  - {name: billing, topic: orders, push: {endpoint: "
      "nowhere}}\n");
  EXPECT_THAT(Refusal(), HasSubstr(file + ":3: push_config.push_endpoint: nowhere"));
}

TEST_F(StartupFileTest, AFileThatCannotBeReadIsAnError) {
  options_.config_file = folder_.path() + "/missing.yaml";
  EXPECT_EQ(Refusal(), options_.config_file + ": cannot be read: No such file or directory");
}

}  // namespace
}  // namespace sluice::server
