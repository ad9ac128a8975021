// What a day of acknowledgements out of order costs: of every hundred messages one is held back, as
// by a consumer that waits for something else, and the others are acknowledged. At 1,000 messages a
// second that makes 864,000 holes in a day. One thread, nothing but the containers of a
// subscription.
//
//   build/release/bin/ack_bench
//
// `time` is for two acknowledgements: of 99 new messages, which are leased before, and of one of
// those held back: the oldest (in_order), or any, which with many of them is a cache miss at every
// step down the trees. Counters, per message held back: `state_bytes` for what is known to be
// acknowledged, in the engine and in the store's cursor; `lease_bytes` for its lease, as long as a
// consumer keeps it; `saved_bytes` in the view.
#include <malloc.h>

#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "core/engine/lease_table.h"
#include "core/storage/ack_set.h"

namespace sluice {
namespace {

constexpr uint32_t kStride = 100;
constexpr ConsumerId kConsumer(1);

size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// A subscription's progress, as far as acknowledgements need it.
class Progress {
 public:
  // Leases the next hundred messages and acknowledges all but the first.
  void AckAllButOne() {
    const LeaseId first =
        leases_.Add({.first = {},
                     .offset = next_,
                     .count = kStride,
                     .consumer = kConsumer,
                     .deadline = Instant(static_cast<int64_t>(next_.value()) * 1'000'000)});
    Ack({first + 1, first + (kStride - 1)});
    held_.push_back(first);
    next_ += kStride;
  }

  void AckHeld(size_t i) {
    LeaseId& held = held_[i];
    Ack({held, held});
    held = held_.back();
    held_.pop_back();
  }

  // Before the first message.
  void Reserve(size_t held) { held_.reserve(held); }

  const AckSet& acked() const { return acked_; }
  const LeaseTable& leases() const { return leases_; }

 private:
  void Ack(LeaseRange range) {
    leases_.Take(kConsumer, range, [this](const Lease& lease) { acked_.Add(lease.offsets()); });
  }

  Offset next_{1};
  AckSet acked_{Offset(1)};
  LeaseTable leases_;
  std::vector<LeaseId> held_;
};

void HeldBack(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  const bool in_order = state.range(1) != 0;
  Progress progress;
  progress.Reserve(count + 1);
  const size_t before = HeapBytes();
  for (size_t i = 0; i < count; ++i) progress.AckAllButOne();
  const size_t with_leases = HeapBytes();
  const auto each = [count](size_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(count);
  };
  {
    const AckSet copy = progress.acked();
    const size_t one = HeapBytes() - with_leases;
    state.counters["state_bytes"] = each(2 * one);
    state.counters["lease_bytes"] = each(with_leases - before - one);
  }
  state.counters["saved_bytes"] = each(progress.acked().Encode().size());
  std::minstd_rand random(1);
  size_t oldest = 0;
  for (auto _ : state) {
    progress.AckAllButOne();
    // The newest takes the place of the one that goes, so that the places are in the order of age,
    // all around.
    progress.AckHeld(in_order ? oldest++ % count : random() % count);
  }
  if (progress.leases().count() != count) std::abort();
}
BENCHMARK(HeldBack)->ArgNames({"", "in_order"})->ArgsProduct({{10'000, 100'000, 864'000}, {0, 1}});

}  // namespace
}  // namespace sluice
