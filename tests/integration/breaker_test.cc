// The store's circuit breaker, seen through gRPC and HTTP.
#include <thread>

#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"
#include "tests/support/fault_files.h"
#include "tests/support/latch.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class BreakerTest : public ServerTest {
 protected:
  void SetUp() override {
    UseLocalStore();
    options_.files = &files_;
    Start();
    CreateBoth("orders");
  }
  // Before the files.
  void TearDown() override {
    client_ = nullptr;
    server_ = nullptr;
  }

  grpc::Status TryPublish() {
    v1::PublishBatchRequest request;
    v1::PublishBatchResponse response;
    request.set_topic(TopicPath("orders"));
    request.add_messages()->set_data("x");
    return client_->PublishBatch(request, &response);
  }
  v1::Breaker StoreBreaker() {
    v1::GetBreakersResponse response;
    EXPECT_TRUE(
        client_->Call(&v1::Admin::Stub::GetBreakers, v1::GetBreakersRequest(), &response).ok());
    return response.store();
  }
  // 1 is SERVING, 2 NOT_SERVING.
  uint64_t Health(const std::string& service) { return HealthOf(*client_, service); }

  FaultFiles files_;
};

TEST_F(BreakerTest, AClosedBreakerIsShownAndTheServerReady) {
  EXPECT_EQ(StoreBreaker().state(), v1::BREAKER_STATE_CLOSED);
  EXPECT_FALSE(StoreBreaker().has_retry_delay());
  EXPECT_EQ(Health("readiness"), 1u);
  EXPECT_EQ(Health("publish"), 1u);
  EXPECT_THAT(HttpGet(server_->http_port(), "/metrics").body,
              HasSubstr("\nsluice_store_breaker_state 0\n"));
}

TEST_F(BreakerTest, ABrokenDiskEndsInFastRefusalsWithARetryDelayAndConsumersAreServed) {
  files_.FailSyncs(true);
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(CodeAndReason(TryPublish()), "UNAVAILABLE/STORAGE_UNAVAILABLE");
  // At once, unless this machine is so slow that a probe is due.
  grpc::Status status = TryPublish();
  while (CodeAndReason(status) == "UNAVAILABLE/STORAGE_UNAVAILABLE") status = TryPublish();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE/CIRCUIT_OPEN");
  google::rpc::Status details;
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  ASSERT_TRUE(details.details(1).UnpackTo(&retry));
  EXPECT_LE(retry.retry_delay().seconds(), 1);
  const v1::Breaker breaker = StoreBreaker();
  EXPECT_GE(breaker.opened(), 1);
  EXPECT_GE(breaker.rejections(), 1);
  const std::string page = HttpGet(server_->http_port(), "/metrics").body;
  EXPECT_THAT(page, HasSubstr("\nsluice_breaker_changes_total{kind=\"store\",to=\"open\"} "));
  EXPECT_THAT(page, HasSubstr("\nsluice_refused_requests_total{reason=\"CIRCUIT_OPEN\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_publish_available 0\n"));
  EXPECT_EQ(Health("publish"), 2u);
  // Whoever looks at these keeps sending consumers.
  EXPECT_EQ(HttpGet(server_->http_port(), "/readyz").status, 200);
  for (const char* service : {"", "readiness", "liveness"})
    EXPECT_EQ(Health(service), 1u) << service;
}

// An append that does not come back for 5 s opens it; a second later it is half-open, without a
// publish.
TEST_F(BreakerTest, TheHealthOfPublishingFollowsTheBreakerAndReadinessDoesNot) {
  Latch released(1);
  files_.OnSync([&released] { released.Wait(); });
  std::thread publisher([this] { EXPECT_EQ(CodeAndReason(TryPublish()), "OK"); });
  while (Health("publish") != 2u) EXPECT_EQ(Health("readiness"), 1u);
  EXPECT_EQ(Health(""), 1u);
  EXPECT_EQ(HttpGet(server_->http_port(), "/readyz").status, 200);
  released.CountDown();
  publisher.join();
  files_.OnSync(nullptr);
  while (Health("publish") != 1u) EXPECT_EQ(Health("readiness"), 1u);
  EXPECT_EQ(CodeAndReason(TryPublish()), "OK");
}

TEST_F(BreakerTest, ASubscriptionSaysHowItsBreakerBehaves) {
  v1::CreateSubscriptionRequest create;
  v1::CreateSubscriptionResponse created;
  v1::Subscription& wanted = *create.mutable_subscription();
  wanted.set_name(SubscriptionPath("slow"));
  wanted.set_topic(TopicPath("orders"));
  wanted.mutable_delivery_breaker_policy()->set_minimum_deliveries(7);
  ASSERT_TRUE(client_->Call(&v1::Admin::Stub::CreateSubscription, create, &created).ok());
  const v1::DeliveryBreakerPolicy& policy = created.subscription().delivery_breaker_policy();
  EXPECT_EQ(policy.minimum_deliveries(), 7);
  EXPECT_EQ(policy.failure_ratio(), 0.9);
  EXPECT_EQ(policy.window().seconds(), 60);
  EXPECT_EQ(policy.open_time().seconds(), 1);
  EXPECT_EQ(policy.max_open_time().seconds(), 60);
  EXPECT_EQ(policy.probes(), 10);
  v1::UpdateSubscriptionRequest update;
  v1::UpdateSubscriptionResponse updated;
  update.mutable_subscription()->set_name(SubscriptionPath("slow"));
  update.mutable_subscription()->mutable_delivery_breaker_policy()->set_disabled(true);
  update.mutable_update_mask()->add_paths("delivery_breaker_policy");
  ASSERT_TRUE(client_->Call(&v1::Admin::Stub::UpdateSubscription, update, &updated).ok());
  EXPECT_TRUE(updated.subscription().delivery_breaker_policy().disabled());
  update.mutable_subscription()->clear_delivery_breaker_policy();
  ASSERT_TRUE(client_->Call(&v1::Admin::Stub::UpdateSubscription, update, &updated).ok());
  EXPECT_FALSE(updated.subscription().has_delivery_breaker_policy());
}

}  // namespace
}  // namespace sluice::server
