// An engine over a memory store on a clock that stands still, with the calls that most tests need.
//
// Thread rule: for one test thread, unless a test says otherwise.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine/engine.h"
#include "core/storage/memory/memory_backend.h"
#include "gtest/gtest.h"
#include "tests/support/batches.h"
#include "tests/support/fake_consumer.h"

namespace sluice {

class EngineFixture : public testing::Test {
 protected:
  explicit EngineFixture(EngineOptions options = {}) : options_(std::move(options)) {
    options_.run_timers = false;
    Open();
  }

  void Open() {
    auto engine =
        Engine::Open(std::make_unique<MemoryBackend>(store_, &clock_), clock_, metrics_, options_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  // A new engine over what the store holds.
  void Reopen() {
    ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
    engine_ = nullptr;
    Open();
  }

  void Advance(absl::Duration d) {
    clock_.Advance(d);
    engine_->timers().RunDue();
  }

  static TopicName TopicNamed(std::string_view id) {
    return *TopicName::Parse("projects/test/topics/" + std::string(id));
  }
  static SubscriptionName SubscriptionNamed(std::string_view id) {
    return *SubscriptionName::Parse("projects/test/subscriptions/" + std::string(id));
  }

  absl::Status CreateTopic(std::string_view id, int64_t retention_bytes = 0) {
    TopicConfig config;
    config.name = TopicNamed(id);
    config.retention_bytes = retention_bytes;
    absl::Status result = absl::UnknownError("no answer");
    engine_->CreateTopic(config, [&](const auto& made) { result = made.status(); });
    return result;
  }

  absl::Status CreateSubscription(std::string_view id, std::string_view topic,
                                  StartPosition start = Earliest{}) {
    SubscriptionConfig config;
    config.name = SubscriptionNamed(id);
    config.topic = TopicNamed(topic);
    return CreateSubscription(std::move(config), start);
  }
  absl::Status CreateSubscription(SubscriptionConfig config, StartPosition start = Earliest{}) {
    absl::Status result = absl::UnknownError("no answer");
    engine_->CreateSubscription(config, start, [&](const auto& made) { result = made.status(); });
    return result;
  }

  std::shared_ptr<Topic> FindTopic(std::string_view id) {
    return *engine_->FindTopic(TopicNamed(id));
  }
  std::shared_ptr<Subscription> FindSubscription(std::string_view id) {
    return *engine_->FindSubscription(SubscriptionNamed(id));
  }

  absl::StatusOr<Published> Publish(std::string_view topic,
                                    const std::vector<std::string>& payloads) {
    absl::StatusOr<Published> result = absl::UnknownError("no answer");
    FindTopic(topic)->Publish(MakeBatch(payloads),
                              [&](const auto& published) { result = published; });
    return result;
  }

  // A topic "orders" with a subscription "billing", and a consumer with this much credit.
  struct Wired {
    std::shared_ptr<Subscription> subscription;
    std::shared_ptr<FakeConsumer> consumer = std::make_shared<FakeConsumer>();
    ConsumerId id;
  };
  Wired Wire(int64_t credit = 1'000'000) {
    EXPECT_TRUE(CreateTopic("orders").ok());
    EXPECT_TRUE(CreateSubscription("billing", "orders").ok());
    return Connect("billing", credit);
  }
  Wired Connect(std::string_view subscription, int64_t credit = 1'000'000) {
    Wired wired;
    wired.subscription = FindSubscription(subscription);
    wired.id = *wired.subscription->Attach(wired.consumer, {});
    if (credit > 0) wired.subscription->Grant(wired.id, credit, Subscription::kNoByteLimit);
    return wired;
  }

  // Everything of these deliveries.
  static std::vector<LeaseRange> Leases(const std::vector<Delivery>& deliveries) {
    std::vector<LeaseRange> ranges;
    for (const Delivery& d : deliveries) ranges.push_back(d.leases());
    return ranges;
  }

  EngineOptions options_;
  ManualClock clock_;
  Metrics metrics_;
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::unique_ptr<Engine> engine_;
};

}  // namespace sluice
