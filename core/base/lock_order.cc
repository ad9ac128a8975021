#include "core/base/lock_order.h"

#ifdef SLUICE_CHECK_LOCK_ORDER

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace sluice {
namespace {

struct HeldLock {
  const LockOrder* lock = nullptr;
  LockRank rank = LockRank::kLeaf;
};

// The locks a thread holds, in the order in which it took them. Nobody holds more than a few.
struct HeldLocks {
  std::array<HeldLock, 16> locks;
  size_t count = 0;
};
thread_local HeldLocks held;

const char* NameOf(LockRank rank) {
  constexpr const char* kNames[] = {"session list", "registry", "topic",
                                    "subscription", "session",  "leaf"};
  return kNames[static_cast<size_t>(rank) - 1];
}

[[noreturn]] void Abort(const char* problem, LockRank taken, LockRank under) {
  std::fprintf(stderr, "lock order: %s: a %s lock taken under a %s lock (docs/adr/0005)\n", problem,
               NameOf(taken), NameOf(under));
  std::abort();
}

}  // namespace

void LockOrder::BeforeLock() const {
  for (size_t i = 0; i < held.count; ++i) {
    const HeldLock& other = held.locks[i];
    if (other.lock == this) Abort("taken twice", rank_, other.rank);
    if (rank_ < other.rank) Abort("wrong way round", rank_, other.rank);
    if (rank_ == other.rank && rank_ != LockRank::kLeaf)
      Abort("two of one kind", rank_, other.rank);
  }
}

void LockOrder::Locked() const {
  if (held.count == held.locks.size()) Abort("too many at once", rank_, held.locks.back().rank);
  held.locks[held.count++] = {this, rank_};
}

void LockOrder::Unlocked() const {
  const auto end = held.locks.begin() + held.count;
  const auto mine =
      std::find_if(held.locks.begin(), end, [this](const HeldLock& h) { return h.lock == this; });
  if (mine == end) Abort("released but not held", rank_, rank_);
  std::move(mine + 1, end, mine);
  --held.count;
}

}  // namespace sluice

#endif  // SLUICE_CHECK_LOCK_ORDER
