// The engine alone: memory store, one subscription, every message published singly with headers,
// delivered to a consumer in process and acknowledged there. Time and allocations are per message,
// the whole way.
//
//   build/release/bin/engine_bench --benchmark_min_time=2
//
// With N threads each publishes to a topic of its own; `time` is then thread-seconds per message
// (wall time of a thread over its messages, so on 2 cores 8 threads share what 2 can do).
#include <atomic>
#include <cstdlib>
#include <new>

#include "benchmark/benchmark.h"
#include "tests/bench/bench_engine.h"

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

// One engine for all threads of a run, a topic and a consumer for each.
std::unique_ptr<BenchEngine> bench;

void PublishDeliverAck(benchmark::State& state) {
  if (state.thread_index() == 0) bench = std::make_unique<BenchEngine>();
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
      const std::string number = std::to_string(state.thread_index());
      topic = bench->MakeTopic("topic" + number);
      consumer = bench->Subscribe("sub" + number, "topic" + number);
      allocations_before = allocations;
      bytes_before = allocated_bytes;
    }
    if (!builder.Add(message).ok()) std::abort();
    topic->Publish(*builder.Build(),
                   [&published](const auto& result) { published += result.ok() ? 1 : 0; });
  }
  const auto messages = static_cast<double>(state.iterations());
  if (published != static_cast<uint64_t>(state.iterations()) || consumer->seen() != published)
    std::abort();
  state.SetItemsProcessed(state.iterations());
  state.counters["allocs"] =
      benchmark::Counter(static_cast<double>(allocations - allocations_before) / messages,
                         benchmark::Counter::kAvgThreads);
  state.counters["new_bytes"] =
      benchmark::Counter(static_cast<double>(allocated_bytes - bytes_before) / messages,
                         benchmark::Counter::kAvgThreads);
  topic = nullptr;
}
BENCHMARK(PublishDeliverAck)->UseRealTime();
BENCHMARK(PublishDeliverAck)->Threads(8)->UseRealTime();

}  // namespace
}  // namespace sluice
