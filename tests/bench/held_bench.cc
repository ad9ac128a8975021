// What messages that are held back (behind a failed one of their key, or because they are due
// later) cost the others of their subscription. In process, over a store in a temporary folder,
// durability `os`.
//
//   build/release/bin/held_bench
//
// p50 and p99 are of single messages of other keys, 1,000 a second, from the call that publishes to
// the delivery; `held_mib` is how much the process grew while the others were held.
#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "benchmark/benchmark.h"
#include "core/base/mutex.h"
#include "core/storage/local/local_backend.h"
#include "tests/bench/bench_engine.h"
#include "tests/support/temp_folder.h"

namespace sluice {
namespace {

constexpr int kOthers = 10'000;
constexpr absl::Duration kPace = absl::Milliseconds(1);
constexpr int kBatch = 1000;
constexpr std::string_view kHeldKey = "held";
constexpr std::string_view kFiller = "a payload of some bytes";

double ResidentMib() {
  malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  statm >> pages >> pages;
  return static_cast<double>(pages) * 4096 / (1 << 20);
}

enum class Held {
  // Behind the first of their key, which fails.
  kOfOneKey,
  // The same, and every second message is of another key.
  kBetweenOthers,
  kDueLater,
};

// Nacks what has the key, for longer than the benchmark takes; of what says when it was sent it
// notes how long it took.
class Picky : public Consumer {
 public:
  void Deliver(std::vector<Delivery>& deliveries) override {
    const absl::Time now = absl::Now();
    std::vector<LeaseRange> acked;
    for (const Delivery& d : deliveries) {
      for (uint32_t i = d.begin; i < d.end; ++i) {
        const MessageView message(d.batch->message(i));
        const LeaseRange lease{d.first_lease + (i - d.begin), d.first_lease + (i - d.begin)};
        if (message.ordering_key() == kHeldKey) {
          subscription->Nack(id, lease, absl::Minutes(10));
          continue;
        }
        acked.push_back(lease);
        if (message.data() == kFiller) continue;
        MutexLock lock(mu_);
        took_us_.push_back(absl::ToDoubleMicroseconds(
            now - absl::FromUnixNanos(std::stoll(std::string(message.data())))));
      }
    }
    if (!acked.empty()) subscription->Ack(id, acked);
  }
  void Ended(absl::Status) override {}
  std::vector<double> took_us() {
    MutexLock lock(mu_);
    return took_us_;
  }

  std::shared_ptr<Subscription> subscription;
  ConsumerId id;

 private:
  Mutex mu_;
  std::vector<double> took_us_ GUARDED_BY(mu_);
};

class HeldStory {
 public:
  HeldStory() {
    topic_ = engine_.MakeTopic("topic");
    SubscriptionConfig config;
    config.ordered = true;
    picky_->subscription = engine_.Subscribe("sub", "topic", config, Earliest{}, 0)->subscription;
    picky_->id = *picky_->subscription->Attach(picky_, {});
    picky_->subscription->Grant(picky_->id, BenchEngine::kEndlessCredit,
                                Subscription::kNoByteLimit);
  }

  void Hold(int64_t messages, Held how) {
    OutgoingMessage held{.data = kFiller};
    if (how == Held::kDueLater)
      held.deliver_at = absl::Now() + absl::Hours(1);
    else
      held.ordering_key = kHeldKey;
    for (; messages > 0; messages -= kBatch) {
      for (int i = 0; i < kBatch; ++i) {
        if (held.deliver_at) *held.deliver_at += absl::Microseconds(1);
        if (!builder_.Add(held).ok()) std::abort();
        const std::string other = std::to_string(i);
        if (how == Held::kBetweenOthers &&
            !builder_.Add({.data = kFiller, .ordering_key = other}).ok())
          std::abort();
        if (builder_.count() == kBatch) Publish();
      }
      while (published_ - done_ > 16) std::this_thread::yield();
    }
    while (published_ != done_) std::this_thread::yield();
  }

  // Microseconds each, ascending.
  std::vector<double> Others() {
    absl::Time next = absl::Now();
    for (int i = 0; i < kOthers; ++i, next += kPace) {
      absl::SleepFor(next - absl::Now());
      if (!builder_
               .Add({.data = std::to_string(absl::ToUnixNanos(absl::Now())),
                     .ordering_key = std::to_string(i)})
               .ok())
        std::abort();
      Publish();
    }
    std::vector<double> took = picky_->took_us();
    for (; took.size() < kOthers; took = picky_->took_us()) absl::SleepFor(kPace);
    std::sort(took.begin(), took.end());
    return took;
  }

 private:
  void Publish() {
    ++published_;
    topic_->Publish(*builder_.Build(), [this](const auto& published) {
      if (!published.ok()) std::abort();
      ++done_;
    });
  }
  std::unique_ptr<Backend> OpenStore() {
    return *LocalBackend::Open({.data_dir = folder_.path(), .durability = Durability::kOs}, clock_,
                               metrics_);
  }

  TempFolder folder_;
  SystemClock clock_;
  StoreMetrics metrics_;
  std::atomic<int64_t> published_ = 0, done_ = 0;
  const std::shared_ptr<Picky> picky_ = std::make_shared<Picky>();
  BatchBuilder builder_;
  std::shared_ptr<Topic> topic_;
  BenchEngine engine_{OpenStore()};
};

void BesideHeld(benchmark::State& state, Held how) {
  for (auto _ : state) {
    HeldStory story;
    const double before = ResidentMib();
    story.Hold(state.range(0), how);
    state.counters["held_mib"] = ResidentMib() - before;
    const std::vector<double> took = story.Others();
    state.counters["p50_us"] = took[took.size() / 2];
    state.counters["p99_us"] = took[took.size() * 99 / 100];
    state.counters["with_others_mib"] = ResidentMib() - before;
  }
}
BENCHMARK_CAPTURE(BesideHeld, of_one_key, Held::kOfOneKey)
    ->Arg(0)
    ->Arg(5'000'000)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(BesideHeld, between_others, Held::kBetweenOthers)
    ->Arg(0)
    ->Arg(5'000'000)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(BesideHeld, due_later, Held::kDueLater)
    ->Arg(0)
    ->Arg(5'000'000)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);

}  // namespace
}  // namespace sluice
