// What the engine's features cost: filters, ordering keys, many leases. One thread, memory store,
// in process.
//
//   build/release/bin/feature_bench
//
// `time` is per message (per lease in the last ones); what else is measured stands in the counters.
#include <malloc.h>

#include <random>

#include "benchmark/benchmark.h"
#include "core/engine/lease_table.h"
#include "core/filter/filter.h"
#include "tests/bench/bench_engine.h"

namespace sluice {
namespace {

constexpr int kBatch = 100;

size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void SetPerItem(benchmark::State& state, int64_t items_per_iteration) {
  state.SetItemsProcessed(state.iterations() * items_per_iteration);
  state.counters["per_item"] =
      benchmark::Counter(static_cast<double>(state.iterations() * items_per_iteration),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void FilterOfThreeTerms(benchmark::State& state) {
  const Filter filter = *Filter::Compile(
      R"(attributes.region = "europe" AND hasPrefix(attributes.kind, "order.") AND priority >= 3)");
  BatchBuilder builder;
  for (int i = 0; i < kBatch; ++i) {
    OutgoingMessage message{.data = "a payload of some bytes",
                            .priority = static_cast<uint32_t>(i % 10)};
    message.attributes = {{"content-type", "application/json"},
                          {"region", i % 2 == 0 ? "europe" : "asia"},
                          {"kind", "order.created"},
                          {"tenant", "blue"}};
    if (!builder.Add(message).ok()) std::abort();
  }
  const Ref<Batch> batch = *builder.Build();
  uint64_t matched = 0;
  for (auto _ : state) {
    for (uint32_t i = 0; i < kBatch; ++i) matched += filter.Matches(batch->message(i)) ? 1 : 0;
  }
  // Of even numbers those that end in 4, 6 or 8.
  if (matched != static_cast<uint64_t>(state.iterations()) * 30) std::abort();
  SetPerItem(state, kBatch);
}
BENCHMARK(FilterOfThreeTerms);

// Each message matches one of the subscriptions, and every subscription looks at each.
void FilteredSubscriptions(benchmark::State& state) {
  const auto subscriptions = static_cast<int>(state.range(0));
  BenchEngine engine;
  const auto topic = engine.MakeTopic("topic");
  std::vector<std::shared_ptr<AckingConsumer>> consumers;
  for (int i = 0; i < subscriptions; ++i) {
    SubscriptionConfig config;
    config.filter = "attributes.shard = \"" + std::to_string(i) + "\"";
    consumers.push_back(engine.Subscribe("sub" + std::to_string(i), "topic", config));
  }
  std::vector<std::string> shards;
  for (int i = 0; i < kBatch; ++i) shards.push_back(std::to_string(i % subscriptions));
  BatchBuilder builder;
  for (auto _ : state) {
    for (const std::string& shard : shards) {
      if (!builder.Add({.data = "a payload of some bytes", .attributes = {{"shard", shard}}}).ok())
        std::abort();
    }
    topic->Publish(*builder.Build(), [](const auto& published) {
      if (!published.ok()) std::abort();
    });
  }
  uint64_t seen = 0;
  for (const auto& consumer : consumers) seen += consumer->seen();
  if (seen != static_cast<uint64_t>(state.iterations()) * kBatch) std::abort();
  SetPerItem(state, kBatch);
}
BENCHMARK(FilteredSubscriptions)->Arg(1)->Arg(10)->Arg(50)->Arg(100);

// The same messages with 100,000 keys, to a subscription that keeps their order and to one that
// does not.
void OrderingKeys(benchmark::State& state) {
  constexpr uint32_t kKeys = 100'000;
  BenchEngine engine;
  const auto topic = engine.MakeTopic("topic");
  SubscriptionConfig config;
  config.ordered = state.range(0) != 0;
  const auto consumer = engine.Subscribe("sub", "topic", config);
  std::minstd_rand random(1);
  BatchBuilder builder;
  for (auto _ : state) {
    for (int i = 0; i < kBatch; ++i) {
      const std::string key = "customer-" + std::to_string(random() % kKeys);
      if (!builder.Add({.data = "a payload of some bytes", .ordering_key = key}).ok()) std::abort();
    }
    topic->Publish(*builder.Build(), [](const auto& published) {
      if (!published.ok()) std::abort();
    });
  }
  if (consumer->seen() != static_cast<uint64_t>(state.iterations()) * kBatch) std::abort();
  SetPerItem(state, kBatch);
}
BENCHMARK(OrderingKeys)->ArgName("ordered")->Arg(0)->Arg(1);

// A backlog of a million messages, each with a key of its own, of which a consumer takes a thousand
// and keeps them.
void AMillionKeysInTheBacklog(benchmark::State& state) {
  constexpr int kKeys = 1'000'000;
  constexpr int64_t kInFlight = 1000;
  for (auto _ : state) {
    BenchEngine engine;
    const auto topic = engine.MakeTopic("topic");
    SubscriptionConfig config;
    config.ordered = true;
    const auto keeps = engine.Subscribe("sub", "topic", config, Earliest{}, 0);
    BatchBuilder builder;
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = "customer-" + std::to_string(i);
      if (!builder.Add({.data = "x", .ordering_key = key}).ok()) std::abort();
      if (builder.count() < 1000) continue;
      topic->Publish(*builder.Build(), [](const auto& published) {
        if (!published.ok()) std::abort();
      });
    }
    const size_t before = HeapBytes();
    class Holder : public Consumer {
     public:
      void Deliver(std::vector<Delivery>& deliveries) override {
        for (const Delivery& d : deliveries) seen += d.count();
      }
      void Ended(absl::Status) override {}
      uint64_t seen = 0;
    };
    const auto holder = std::make_shared<Holder>();
    const ConsumerId id = *keeps->subscription->Attach(holder, {});
    keeps->subscription->Grant(id, kInFlight, Subscription::kNoByteLimit);
    if (holder->seen != kInFlight) std::abort();
    state.counters["bytes_for_the_keys_in_flight"] = static_cast<double>(HeapBytes() - before);
  }
}
BENCHMARK(AMillionKeysInTheBacklog)->Iterations(1)->Unit(benchmark::kMillisecond);

// Each lease apart from its neighbours, which is the worst case: those delivered together are one
// run.
class Leases {
 public:
  explicit Leases(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      table.Add({.first = {},
                 .offset = Offset(1 + uint64_t{2} * i),
                 .count = 1,
                 .consumer = ConsumerId(1),
                 .deadline = Instant(1'000'000 + i * int64_t{1000})});
    }
  }
  LeaseTable table;
};

void LeaseMemory(benchmark::State& state) {
  const auto count = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    const size_t before = HeapBytes();
    const Leases leases(count);
    state.counters["bytes_each"] = static_cast<double>(HeapBytes() - before) / count;
  }
}
BENCHMARK(LeaseMemory)->Arg(1'000'000)->Iterations(1)->Unit(benchmark::kMillisecond);

void LeaseExtension(benchmark::State& state) {
  const auto count = static_cast<uint32_t>(state.range(0));
  Leases leases(count);
  std::minstd_rand random(1);
  int64_t later = 10'000'000'000;
  for (auto _ : state) {
    const LeaseId id(1 + random() % count);
    if (leases.table.Extend(ConsumerId(1), {id, id}, Instant(later += 1000)) != 1) std::abort();
  }
}
BENCHMARK(LeaseExtension)->Arg(1000)->Arg(10'000)->Arg(100'000)->Arg(1'000'000);

// The oldest expires and is leased anew.
void LeaseExpiry(benchmark::State& state) {
  const auto count = static_cast<uint32_t>(state.range(0));
  Leases leases(count);
  int64_t later = 10'000'000'000;
  for (auto _ : state) {
    Lease expired;
    const Instant due = leases.table.next_deadline();
    if (leases.table.TakeExpired(due, [&](const Lease& lease) { expired = lease; }) != 1)
      std::abort();
    expired.deadline = Instant(later += 1000);
    leases.table.Add(expired);
  }
}
BENCHMARK(LeaseExpiry)->Arg(1000)->Arg(10'000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace sluice
