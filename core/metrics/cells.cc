#include "core/metrics/cells.h"

#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "core/base/mutex.h"

namespace sluice {
namespace {

// Address space, all 0; a page of it takes memory when it is first written to.
uint64_t* NewBlock() {
  void* block = mmap(nullptr, Cells::kMost * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) std::abort();
  return static_cast<uint64_t*>(block);
}

}  // namespace

// Which cells are whose. Never destroyed, since threads may end after everything else did.
class Cells::Registry {
 public:
  static Registry& Get() {
    static auto* const registry = new Registry;
    return *registry;
  }

  std::optional<uint32_t> Take(uint32_t count) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (std::vector<uint32_t>& given_back = free_[count]; !given_back.empty()) {
      const uint32_t first = given_back.back();
      given_back.pop_back();
      return first;
    }
    if (kMost - next_ < count) return std::nullopt;
    next_ += count;
    return next_ - count;
  }
  void Give(uint32_t first, uint32_t count) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (uint64_t* block : blocks_) {
      for (uint32_t i = first; i < first + count; ++i)
        std::atomic_ref(block[i]).store(0, std::memory_order_relaxed);
    }
    free_[count].push_back(first);
  }

  uint64_t* BlockForThread() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (!idle_blocks_.empty()) {
      uint64_t* block = idle_blocks_.back();
      idle_blocks_.pop_back();
      return block;
    }
    blocks_.push_back(NewBlock());
    return blocks_.back();
  }
  void ThreadEnded(uint64_t* block) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    idle_blocks_.push_back(block);
  }

  // Of threads that are ending.
  uint64_t* last_block() const { return last_block_; }

  // Calls fn(value) with what each thread has in the cell.
  template <class Fn>
  void ForEach(uint32_t cell, Fn&& fn) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    for (uint64_t* block : blocks_)
      fn(std::atomic_ref(block[cell]).load(std::memory_order_relaxed));
  }

 private:
  Registry() = default;

  uint64_t* const last_block_ = NewBlock();
  Mutex mu_;
  std::vector<uint64_t*> blocks_ GUARDED_BY(mu_){last_block_};
  std::vector<uint64_t*> idle_blocks_ GUARDED_BY(mu_);
  uint32_t next_ GUARDED_BY(mu_) = 0;
  // By size.
  std::map<uint32_t, std::vector<uint32_t>> free_ GUARDED_BY(mu_);
};

// A thread, from its first Add on.
struct Cells::Thread {
  Thread() { mine = Registry::Get().BlockForThread(); }
  ~Thread() { Registry::Get().ThreadEnded(std::exchange(mine, nullptr)); }
};

Cells::Cells(uint32_t count) : count_(count) {
  if (const auto first = Registry::Get().Take(count)) {
    first_ = *first;
  } else {
    shared_.resize(count);
  }
}

Cells::~Cells() {
  if (shared_.empty()) Registry::Get().Give(first_, count_);
}

std::atomic_ref<uint64_t> Cells::SharedCell(uint32_t i) {
  if (!shared_.empty()) return std::atomic_ref(shared_[i]);
  thread_local Thread thread;
  // While the thread ends, it has none any more.
  return std::atomic_ref((mine != nullptr ? mine : Registry::Get().last_block())[first_ + i]);
}

void Cells::AddShared(uint32_t i, uint64_t n) {
  SharedCell(i).fetch_add(n, std::memory_order_relaxed);
}

void Cells::AddRealShared(uint32_t i, double amount) {
  const std::atomic_ref<uint64_t> cell = SharedCell(i);
  uint64_t sum = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(sum,
                                     std::bit_cast<uint64_t>(std::bit_cast<double>(sum) + amount),
                                     std::memory_order_relaxed)) {
  }
}

uint64_t Cells::Sum(uint32_t i) const {
  if (!shared_.empty()) return std::atomic_ref(shared_[i]).load(std::memory_order_relaxed);
  uint64_t sum = 0;
  Registry::Get().ForEach(first_ + i, [&sum](uint64_t value) { sum += value; });
  return sum;
}

double Cells::SumReal(uint32_t i) const {
  if (!shared_.empty()) return std::bit_cast<double>(Sum(i));
  double sum = 0;
  Registry::Get().ForEach(first_ + i,
                          [&sum](uint64_t value) { sum += std::bit_cast<double>(value); });
  return sum;
}

}  // namespace sluice
