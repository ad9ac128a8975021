// What this process holds: threads, descriptors, bytes of heap.
//
// Thread rule: what other threads hold counts too, so measure when they are quiet.
#pragma once

#include <malloc.h>

#include <cstddef>
#include <filesystem>
#include <iterator>

namespace sluice {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Their allocators keep no such account, and what they run is slow.
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

struct Footprint {
  size_t threads = 0;
  size_t descriptors = 0;
  // Allocated and not freed.
  size_t heap_bytes = 0;

  static Footprint Now() {
    const auto entries = [](const char* folder) {
      const std::filesystem::directory_iterator files(folder);
      return static_cast<size_t>(std::distance(begin(files), end(files)));
    };
    Footprint now{entries("/proc/self/task"), entries("/proc/self/fd"), 0};
    if (!kSanitized) {
      const struct mallinfo2 info = mallinfo2();
      now.heap_bytes = info.uordblks + info.hblkhd;
    }
    return now;
  }
};

}  // namespace sluice
