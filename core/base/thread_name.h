// What a thread is called in top -H, perf and debuggers.
//
//   std::thread([] { NameThisThread("timers"); ... });
//
// Thread rule: names the calling thread.
#pragma once

#include <pthread.h>

#include <cstddef>

namespace sluice {

// Linux has room for 15 characters: a longer name does not compile.
template <size_t kSize>
void NameThisThread(const char (&name)[kSize]) {
  static_assert(kSize <= 16);
  pthread_setname_np(pthread_self(), name);
}

}  // namespace sluice
