// What the server's own buffers hold in memory, by part, under one budget. Load is shed in this
// order as it fills up:
//
//   1. The tail cache lets go of its oldest batches, all of them if need be: slow consumers read from the store again.
//   2. From three quarters on (tight()) streams are promised less at a time: 64 KiB instead of 2 MiB each.
//   3. At the budget publishes are refused with MEMORY_BUDGET and a retry delay, until what is on its way has gone out.
//
// Publishes and the tail cache never take the sum past the budget. Deliveries that were promised
// are taken as they come (Force): they are what makes room again, and the last quarter is theirs.
//
//   MemoryLedger ledger(size_t{1} << 30);
//   if (!ledger.Take(MemoryPart::kPublishes, bytes)) return refusal;
//   ... ledger.Give(MemoryPart::kPublishes, bytes);
//
// Thread rule: every member may be called from any thread; a few atomic operations, no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <utility>

#include "core/metrics/metrics.h"

namespace sluice {

enum class MemoryPart {
  // Batches from when they were read until they are answered.
  kPublishes,
  kTailCache,
  // Delivered to streams and not written yet.
  kOutgoing,
};
inline constexpr size_t kMemoryPartCount = static_cast<size_t>(MemoryPart::kOutgoing) + 1;

class MemoryLedger {
 public:
  // A budget of 0 bounds nothing; the parts are counted all the same.
  explicit MemoryLedger(size_t budget) : budget_(budget) {}

  // Who can let go of something at once: fn(bytes) gives back about that much, through Give. It is
  // called with no lock of this class. To be set before the first Take.
  void SetReclaim(std::function<void(size_t)> reclaim) { reclaim_ = std::move(reclaim); }

  // False when there is no room, also after others were asked for it; nothing is taken then.
  bool Take(MemoryPart part, size_t bytes);
  // The same without asking others.
  bool TakeFree(MemoryPart part, size_t bytes);
  // Takes what is there already, whatever the budget says.
  void Force(MemoryPart part, size_t bytes);
  void Give(MemoryPart part, size_t bytes);

  size_t budget() const { return budget_; }
  size_t used(MemoryPart part) const { return static_cast<size_t>(Counted(part).value()); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  bool tight() const { return budget_ > 0 && used() >= budget_ / 4 * 3; }

 private:
  Gauge& Count(MemoryPart part) { return parts_[static_cast<size_t>(part)]; }
  const Gauge& Counted(MemoryPart part) const { return parts_[static_cast<size_t>(part)]; }

  const size_t budget_;
  std::function<void(size_t)> reclaim_;
  // Never past the budget but by Force; not kept when there is none.
  std::atomic<size_t> used_{0};
  std::array<Gauge, kMemoryPartCount> parts_;
};

}  // namespace sluice
