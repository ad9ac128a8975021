// First in, first out, in one stretch of memory: unlike std::deque it allocates only to grow, and
// an empty one of the usual size keeps its memory, so that things that come and go cost no
// allocations.
//
//   Queue<Ref<Batch>> queue;
//   queue.push_back(batch);  queue.front();  queue.pop_front();
//   std::partition_point(queue.begin(), queue.end(), ...);
//
// All operations but push_front are O(1), amortized.
//
// Thread rule: a plain container.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace sluice {

template <class T>
class Queue {
 public:
  bool empty() const { return begin_ == items_.size(); }
  size_t size() const { return items_.size() - begin_; }
  // REQUIRES: not empty.
  T& front() { return items_[begin_]; }
  const T& front() const { return items_[begin_]; }
  T& back() { return items_.back(); }
  const T& back() const { return items_.back(); }
  auto begin() const { return items_.begin() + static_cast<ptrdiff_t>(begin_); }
  auto end() const { return items_.end(); }

  void push_back(T item) {
    // What is gone makes room before more is asked for.
    if (items_.size() == items_.capacity() && begin_ > items_.size() / 2) MoveToFront();
    items_.push_back(std::move(item));
  }
  // What has just been taken out, say; in front of others it takes as long as there are of them.
  void push_front(T item) {
    if (begin_ > 0) {
      items_[--begin_] = std::move(item);
      return;
    }
    std::vector<T> items;
    items.reserve(items_.size() + 1);
    items.push_back(std::move(item));
    std::move(items_.begin(), items_.end(), std::back_inserter(items));
    items_.swap(items);
  }
  void pop_front() {
    items_[begin_] = T();
    ++begin_;
    if (empty()) clear();
  }
  void clear() {
    begin_ = 0;
    items_.clear();
    if (items_.capacity() > kKeptCapacity) items_.shrink_to_fit();
  }

 private:
  static constexpr size_t kKeptCapacity = 256;

  void MoveToFront() {
    items_.erase(items_.begin(), items_.begin() + static_cast<ptrdiff_t>(begin_));
    begin_ = 0;
  }

  std::vector<T> items_;
  size_t begin_ = 0;
};

}  // namespace sluice
