// Sums that many threads add to all the time and few ever read: each thread adds to cells of its
// own, so that adding is a load and a store, without a locked instruction and without two cores
// that fight for a line; who reads adds them up.
//
//   Cells cells(2);
//   cells.Add(0, 17);
//   cells.Sum(0);
//
// What a thread added stays when it ends; its cells serve the next one. A process has kMost cells:
// whoever comes later has cells that its threads share, which is slower and no less right.
//
// Thread rule: Add and Sum may be called from any thread. Nobody adds any more when the object
// goes.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

namespace sluice {

class Cells {
 public:
  static constexpr uint32_t kMost = 32'768;

  // `count` numbers, all 0.
  explicit Cells(uint32_t count);
  ~Cells();
  Cells(const Cells&) = delete;
  Cells& operator=(const Cells&) = delete;

  void Add(uint32_t i, uint64_t n) {
    if (mine == nullptr || !shared_.empty()) return AddShared(i, n);
    const std::atomic_ref<uint64_t> cell(mine[first_ + i]);
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t Sum(uint32_t i) const;

  // The same for a number that is always used as a real one.
  void AddReal(uint32_t i, double amount) {
    if (mine == nullptr || !shared_.empty()) return AddRealShared(i, amount);
    const std::atomic_ref<uint64_t> cell(mine[first_ + i]);
    const double sum = std::bit_cast<double>(cell.load(std::memory_order_relaxed)) + amount;
    cell.store(std::bit_cast<uint64_t>(sum), std::memory_order_relaxed);
  }
  double SumReal(uint32_t i) const;

 private:
  class Registry;
  struct Thread;

  void AddShared(uint32_t i, uint64_t n);
  void AddRealShared(uint32_t i, double amount);
  // Cell `i` where threads share it: those of this object, or of a thread that has no cells (any
  // more).
  std::atomic_ref<uint64_t> SharedCell(uint32_t i);

  // This thread's cells; null before its first Add and after its end.
  static inline constinit thread_local uint64_t* mine = nullptr;

  const uint32_t count_;
  // Of the cells in every thread's.
  uint32_t first_ = 0;
  // Instead of those, when there were no more.
  mutable std::vector<uint64_t> shared_;
};

}  // namespace sluice
