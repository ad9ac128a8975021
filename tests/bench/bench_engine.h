// An engine, over a memory store unless it is given another, with consumers that acknowledge what
// they get at once, for the benchmarks.
//
// Thread rule: as the engine; a consumer is read once it is quiet.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/engine/engine.h"
#include "core/storage/memory/memory_backend.h"

namespace sluice {

class AckingConsumer : public Consumer {
 public:
  void Deliver(std::vector<Delivery>& deliveries) override {
    for (const Delivery& d : deliveries) {
      ranges_.assign(1, d.leases());
      seen_ += d.count();
      subscription->Ack(id, ranges_);
    }
  }
  void Ended(absl::Status) override {}
  uint64_t seen() const { return seen_; }

  std::shared_ptr<Subscription> subscription;
  ConsumerId id;

 private:
  std::vector<LeaseRange> ranges_;
  uint64_t seen_ = 0;
};

class BenchEngine {
 public:
  static constexpr uint64_t kStoreBytes = uint64_t{4} << 30;
  static constexpr int64_t kEndlessCredit = int64_t{1} << 50;

  BenchEngine()
      : BenchEngine(std::make_unique<MemoryBackend>(std::make_shared<MemoryStore>(kStoreBytes))) {}
  explicit BenchEngine(std::unique_ptr<Backend> store)
      : engine_(*Engine::Open(std::move(store), clock_, metrics_)) {}

  static TopicName NameOfTopic(const std::string& id) {
    return *TopicName::Parse("projects/bench/topics/" + id);
  }

  std::shared_ptr<Topic> MakeTopic(const std::string& id) {
    TopicConfig config;
    config.name = NameOfTopic(id);
    engine_->CreateTopic(config, [](const auto& made) {
      if (!made.ok()) std::abort();
    });
    return *engine_->FindTopic(config.name);
  }

  Engine& engine() { return *engine_; }

  // A subscription of that topic with a consumer.
  std::shared_ptr<AckingConsumer> Subscribe(const std::string& id, const std::string& topic,
                                            SubscriptionConfig config = {},
                                            StartPosition start = Latest{},
                                            int64_t credit = kEndlessCredit) {
    config.name = *SubscriptionName::Parse("projects/bench/subscriptions/" + id);
    config.topic = NameOfTopic(topic);
    engine_->CreateSubscription(config, start, [](const auto& made) {
      if (!made.ok()) std::abort();
    });
    auto consumer = std::make_shared<AckingConsumer>();
    consumer->subscription = *engine_->FindSubscription(config.name);
    consumer->id = *consumer->subscription->Attach(consumer, {});
    consumer->subscription->Grant(consumer->id, credit, Subscription::kNoByteLimit);
    return consumer;
  }

 private:
  SystemClock clock_;
  Metrics metrics_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace sluice
