// The engine alone: memory store, one subscription, every message published singly with headers, delivered to a consumer
// in process and acknowledged there. Time and allocations are per message, the whole way.
//
//   build/release/bin/engine_bench --benchmark_min_time=2
//
// With N threads each publishes to a topic of its own; `time` is then thread-seconds per message (wall time of a thread
// over its messages, so on 2 cores 8 threads share what 2 can do).
#include <atomic>
#include <cstdlib>
#include <new>

#include "benchmark/benchmark.h"
#include "core/engine/engine.h"
#include "core/storage/memory/memory_backend.h"

namespace {
thread_local uint64_t allocations = 0;
thread_local uint64_t allocated_bytes = 0;

void* CountedAlloc(size_t size) {
  ++allocations;
  allocated_bytes += size;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(size_t size) { return CountedAlloc(size); }
void* operator new[](size_t size) { return CountedAlloc(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }

namespace sluice {
namespace {

class AckingConsumer : public Consumer {
 public:
  void Deliver(std::vector<Delivery>& deliveries) override {
    for (const Delivery& d : deliveries) {
      ranges_.assign(1, {d.first_lease, d.first_lease + (d.count() - 1)});
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

// One engine for all threads of a run, a topic and a consumer for each.
struct Bench {
  Bench() {
    auto opened = Engine::Open(std::make_unique<MemoryBackend>(), clock, metrics, {});
    engine = *std::move(opened);
  }
  SystemClock clock;
  Metrics metrics;
  std::unique_ptr<Engine> engine;
};

std::shared_ptr<AckingConsumer> Wire(Engine& engine, int n) {
  TopicConfig topic;
  topic.name = *TopicName::Parse("projects/bench/topics/topic" + std::to_string(n));
  engine.CreateTopic(topic, [](const auto& made) { if (!made.ok()) std::abort(); });
  SubscriptionConfig config;
  config.name = *SubscriptionName::Parse("projects/bench/subscriptions/sub" + std::to_string(n));
  config.topic = topic.name;
  engine.CreateSubscription(config, Latest{}, [](const auto& made) { if (!made.ok()) std::abort(); });
  auto consumer = std::make_shared<AckingConsumer>();
  consumer->subscription = *engine.FindSubscription(config.name);
  consumer->id = *consumer->subscription->Attach(consumer, {});
  consumer->subscription->Grant(consumer->id, int64_t{1} << 50, Subscription::kNoByteLimit);
  return consumer;
}

std::unique_ptr<Bench> bench;

void PublishDeliverAck(benchmark::State& state) {
  if (state.thread_index() == 0) bench = std::make_unique<Bench>();
  std::shared_ptr<AckingConsumer> consumer;
  std::shared_ptr<Topic> topic;
  BatchBuilder builder;
  const std::string payload(100, 'x');
  OutgoingMessage message;
  message.data = payload;
  message.attributes = {{"content-type", "text/plain"}, {"source", "bench"}, {"tenant", "blue"}};
  uint64_t published = 0;
  uint64_t allocations_before = 0;
  uint64_t bytes_before = 0;
  for (auto _ : state) {
    if (topic == nullptr) {  // the engine exists once the loop has begun for all
      consumer = Wire(*bench->engine, state.thread_index());
      topic = *bench->engine->FindTopic(
          *TopicName::Parse("projects/bench/topics/topic" + std::to_string(state.thread_index())));
      allocations_before = allocations;
      bytes_before = allocated_bytes;
    }
    if (!builder.Add(message).ok()) std::abort();
    topic->Publish(*builder.Build(), [&published](const auto& result) { published += result.ok() ? 1 : 0; });
  }
  const auto messages = static_cast<double>(state.iterations());
  if (published != static_cast<uint64_t>(state.iterations()) || consumer->seen() != published) std::abort();
  state.SetItemsProcessed(state.iterations());
  state.counters["allocs"] = benchmark::Counter(static_cast<double>(allocations - allocations_before) / messages,
                                                benchmark::Counter::kAvgThreads);
  state.counters["new_bytes"] = benchmark::Counter(static_cast<double>(allocated_bytes - bytes_before) / messages,
                                                   benchmark::Counter::kAvgThreads);
  topic = nullptr;
}
BENCHMARK(PublishDeliverAck)->UseRealTime();
BENCHMARK(PublishDeliverAck)->Threads(8)->UseRealTime();

}  // namespace
}  // namespace sluice
