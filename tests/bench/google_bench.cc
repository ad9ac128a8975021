// What the server does with an Acknowledge or a ModifyAckDeadline request of 1,000 ids: from the
// bytes of the request to the answer, without gRPC.
#include <algorithm>
#include <cstdlib>
#include <random>

#include "benchmark/benchmark.h"
#include "server/api/google/ack_ids.h"
#include "server/api/google/wire.h"
#include "tests/bench/bench_engine.h"

namespace sluice::server {
namespace {

constexpr size_t kIds = 1000;

// Keeps what it gets.
class HoldingConsumer : public Consumer {
 public:
  void Deliver(std::vector<Delivery>& deliveries) override {
    for (Delivery& delivery : deliveries) held.push_back(std::move(delivery));
  }
  void Ended(absl::Status) override {}

  std::vector<Delivery> held;
};

// A subscription that leases kIds messages to a consumer at a time, in batches of 100.
class Leases : public BenchEngine {
 public:
  explicit Leases(bool exactly_once) {
    SubscriptionConfig config;
    config.name = *SubscriptionName::Parse("projects/bench/subscriptions/acks");
    config.topic = NameOfTopic("acks");
    config.exactly_once = exactly_once;
    topic_ = MakeTopic("acks");
    engine().CreateSubscription(config, Latest{}, [](const auto& made) {
      if (!made.ok()) std::abort();
    });
    subscription_ = *engine().FindSubscription(config.name);
    const ConsumerId id =
        *subscription_->Attach(consumer_, {.client_id = {}, .leases_outlive_it = true});
    subscription_->Grant(id, kEndlessCredit, Subscription::kNoByteLimit);
  }

  // An AcknowledgeRequest of all that is held now, in the order of delivery or in none.
  std::string Request(bool shuffled) {
    consumer_->held.clear();
    for (size_t i = 0; i < kIds; i += 100) PublishHundred();
    std::vector<std::string> ids;
    for (const Delivery& delivery : consumer_->held) {
      for (uint32_t i = 0; i < delivery.count(); ++i) {
        std::string& id = ids.emplace_back(kAckIdSize, ' ');
        WriteAckId(id.data(),
                   {subscription_->id(), engine().incarnation(), delivery.first_lease + i,
                    delivery.batch->first() + delivery.begin + i});
      }
    }
    if (ids.size() != kIds) std::abort();
    if (shuffled) std::shuffle(ids.begin(), ids.end(), random_);
    pubsub::AcknowledgeRequest request;
    request.set_subscription("projects/bench/subscriptions/acks");
    for (const std::string& id : ids) request.add_ack_ids(id);
    return request.SerializeAsString();
  }

  void Acknowledge(const std::string& request) {
    AckScan scan;
    if (!ScanAcknowledge(request, &scan)) std::abort();
    AcknowledgeIds(engine(), subscription_, scan.ack_ids, {}, [](const auto& outcome) {
      if (!outcome.ok()) std::abort();
    });
  }
  void Extend(const std::string& request) {
    AckScan scan;
    if (!ScanAcknowledge(request, &scan)) std::abort();
    if (!ModifyDeadlineOfIds(engine(), subscription_, scan.ack_ids, 60, {}).ok()) std::abort();
  }

 private:
  void PublishHundred() {
    builder_.Clear();
    for (int i = 0; i < 100; ++i) {
      if (!builder_.Add(OutgoingMessage{.data = payload_}).ok()) std::abort();
    }
    topic_->Publish(*builder_.Build(), [](const auto& published) {
      if (!published.ok()) std::abort();
    });
  }

  const std::string payload_ = std::string(100, 'x');
  std::mt19937 random_{1};
  BatchBuilder builder_;
  std::shared_ptr<Topic> topic_;
  std::shared_ptr<Subscription> subscription_;
  std::shared_ptr<HoldingConsumer> consumer_ = std::make_shared<HoldingConsumer>();
};

void Acknowledge1000(benchmark::State& state, bool exactly_once, bool shuffled) {
  Leases leases(exactly_once);
  for (auto _ : state) {
    state.PauseTiming();
    const std::string request = leases.Request(shuffled);
    state.ResumeTiming();
    leases.Acknowledge(request);
  }
}

void ModifyAckDeadline1000(benchmark::State& state, bool exactly_once, bool shuffled) {
  Leases leases(exactly_once);
  const std::string request = leases.Request(shuffled);
  for (auto _ : state) leases.Extend(request);
}

BENCHMARK_CAPTURE(Acknowledge1000, in_order, false, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(Acknowledge1000, shuffled, false, true)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(Acknowledge1000, exactly_once_in_order, true, false)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(Acknowledge1000, exactly_once_shuffled, true, true)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ModifyAckDeadline1000, in_order, false, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ModifyAckDeadline1000, shuffled, false, true)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(ModifyAckDeadline1000, exactly_once_shuffled, true, true)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sluice::server
