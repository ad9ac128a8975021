#include "core/base/mutex.h"

namespace sluice {
namespace {

// Tells the processor that this is a loop that waits.
void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Mutex::Wait() {
  // What it guards is nearly always given back within a microsecond: a look now and then is cheaper than sleep.
  constexpr int kLooks = 40;
  for (int i = 0; i < kLooks; ++i) {
    if (state_.load(std::memory_order_relaxed) == kFree && TryTake()) return;
    Relax();
  }
  while (state_.exchange(kWaitedFor, std::memory_order_acquire) != kFree) {
    state_.wait(kWaitedFor, std::memory_order_relaxed);
  }
}

}  // namespace sluice
