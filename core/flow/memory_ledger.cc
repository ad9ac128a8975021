#include "core/flow/memory_ledger.h"

namespace sluice {

bool MemoryLedger::TakeFree(MemoryPart part, size_t bytes) {
  if (budget_ > 0) {
    size_t used = used_.load(std::memory_order_relaxed);
    do {
      if (used >= budget_ || bytes > budget_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  }
  Count(part).Add(static_cast<int64_t>(bytes));
  return true;
}

bool MemoryLedger::Take(MemoryPart part, size_t bytes) {
  if (TakeFree(part, bytes)) return true;
  if (!reclaim_) return false;
  reclaim_(bytes);
  return TakeFree(part, bytes);
}

void MemoryLedger::Force(MemoryPart part, size_t bytes) {
  if (budget_ > 0) used_.fetch_add(bytes, std::memory_order_relaxed);
  Count(part).Add(static_cast<int64_t>(bytes));
}

void MemoryLedger::Give(MemoryPart part, size_t bytes) {
  if (budget_ > 0) used_.fetch_sub(bytes, std::memory_order_relaxed);
  Count(part).Add(-static_cast<int64_t>(bytes));
}

}  // namespace sluice
