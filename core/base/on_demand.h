// A part that is made when it is needed for the first time, and then stays: what has many of its
// kind idle costs a pointer each.
//
//   OnDemand<TopicExpiry> expiry_;
//   if (TopicExpiry* expiry = expiry_.get()) ...                       // only if it was needed before
//   expiry_.GetOr([&] { return std::make_unique<TopicExpiry>(...); })  // makes it
//
// Thread rule: get and GetOr from any thread; of two that make one at the same time, one is kept.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace sluice {

template <class T>
class OnDemand {
 public:
  OnDemand() = default;
  OnDemand(const OnDemand&) = delete;
  OnDemand& operator=(const OnDemand&) = delete;
  ~OnDemand() { std::unique_ptr<T>(value_.load(std::memory_order_acquire)).reset(); }

  T* get() const { return value_.load(std::memory_order_acquire); }

  // `make` gives a unique_ptr.
  template <class Make>
  T& GetOr(Make&& make) {
    if (T* there = get()) return *there;
    std::unique_ptr<T> mine = std::forward<Make>(make)();
    T* there = nullptr;
    if (!value_.compare_exchange_strong(there, mine.get(), std::memory_order_acq_rel))
      return *there;
    return *mine.release();
  }

 private:
  std::atomic<T*> value_{nullptr};
};

}  // namespace sluice
