#include "core/base/mutex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace sluice {
namespace {

// The kernel looks at the number itself.
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) &&
              std::atomic<uint32_t>::is_always_lock_free);

// Sleeps while `word` is `expected`, until somebody wakes it, or for no reason. False when
// `timeout` has passed.
bool FutexWait(std::atomic<uint32_t>& word, uint32_t expected, absl::Duration timeout) {
  timespec time = absl::ToTimespec(std::max(timeout, absl::ZeroDuration()));
  timespec* const limit = timeout == absl::InfiniteDuration() ? nullptr : &time;
  return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, limit, nullptr, 0) == 0 ||
         errno != ETIMEDOUT;
}

void FutexWake(std::atomic<uint32_t>& word, int count) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

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
  // What it guards is nearly always given back within a microsecond: a look now and then is cheaper
  // than sleep.
  constexpr int kLooks = 40;
  for (int i = 0; i < kLooks; ++i) {
    if (state_.load(std::memory_order_relaxed) == kFree && TryTake()) return;
    Relax();
  }
  while (state_.exchange(kWaitedFor, std::memory_order_acquire) != kFree) {
    FutexWait(state_, kWaitedFor, absl::InfiniteDuration());
  }
}

void Mutex::WakeOne() { FutexWake(state_, 1); }

bool CondVar::WaitOn(Mutex& mu, absl::Duration timeout) {
  waiting_.fetch_add(1, std::memory_order_relaxed);
  const uint32_t calls = calls_.load(std::memory_order_relaxed);
  mu.Give();
  const bool in_time = FutexWait(calls_, calls, timeout);
  mu.Take();
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return in_time;
}

void CondVar::Wake(int count) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  FutexWake(calls_, count);
}

}  // namespace sluice
