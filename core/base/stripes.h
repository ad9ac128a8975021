// For what every core changes all the time: kept in several parts, of which a thread uses one and
// the same, so that cores do not fight for a line of memory. Who wants the whole of it looks at all
// parts.
//
//   struct alignas(kCacheLineBytes) Part { std::atomic<int64_t> inside{0}; };
//   std::array<Part, kStripes> parts;
//   ++parts[ThisStripe()].inside;
//
// Thread rule: ThisStripe may be called from any thread.
#pragma once

#include <atomic>
#include <cstddef>

namespace sluice {

// A power of two; threads that are more share parts, evenly.
inline constexpr size_t kStripes = 16;
inline constexpr size_t kCacheLineBytes = 64;

// The part of this thread, below kStripes.
inline size_t ThisStripe() {
  static std::atomic<size_t> threads{0};
  // 0 before the first time: no guard is needed around what is known when the program starts.
  static constinit thread_local size_t number = 0;
  if (number == 0) number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  return number % kStripes;
}

}  // namespace sluice
