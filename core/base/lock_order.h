// The order of locks, checked while the program runs: a mutex may be given a rank, and a thread
// that holds one takes only those that rank higher. Two topics, or a topic under a subscription,
// end the process with a message that names both, also when no other thread is there to make the
// deadlock real. (The idea is that of Linux's lockdep.)
//
//   mutable Mutex mu_{LockRank::kTopic};
//
// A mutex without a rank is a leaf: taken under anything, and nothing but other leaves is taken
// under it. The order itself is docs/adr/0005.
//
// Only builds with SLUICE_CHECK_LOCK_ORDER check (CMake: SLUICE_LOCK_ORDER, on where the build type
// is Debug); in others nothing of this exists at run time.
//
// Thread rule: each thread has an account of its own.
#pragma once

#include <cstdint>

namespace sluice {

enum class LockRank : uint8_t {
  // The server's list of streams, held while they are told to end.
  kSessionList = 1,
  kRegistry = 2,
  kTopic = 3,
  kSubscription = 4,
  // Stream sessions, and the publishers and subscribers of an embedding program.
  kSession = 5,
  kLeaf = 6,
};

// What a Mutex keeps for the check.
class LockOrder {
 public:
#ifdef SLUICE_CHECK_LOCK_ORDER
  explicit LockOrder(LockRank rank) : rank_(rank) {}
  // Before waiting for the mutex, so that a wrong order is told and not waited for.
  void BeforeLock() const;
  void Locked() const;
  void Unlocked() const;

 private:
  const LockRank rank_;
#else
  explicit LockOrder(LockRank) {}
  void BeforeLock() const {}
  void Locked() const {}
  void Unlocked() const {}
#endif
};

}  // namespace sluice
