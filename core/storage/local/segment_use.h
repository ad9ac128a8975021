// How many live bytes each segment of the journal holds: what says when one may go.
//
// Thread rule: every member may be called from any thread; its lock is a leaf.
#pragma once

#include <cstdint>
#include <map>

#include "core/base/mutex.h"

namespace sluice {

class SegmentUse {
 public:
  void Add(uint64_t segment, uint64_t bytes) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    live_[segment] += bytes;
  }
  void Drop(uint64_t segment, uint64_t bytes) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    auto it = live_.find(segment);
    if (it != live_.end() && (it->second -= bytes) == 0) live_.erase(it);
  }
  uint64_t live(uint64_t segment) const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    auto it = live_.find(segment);
    return it == live_.end() ? 0 : it->second;
  }

 private:
  mutable Mutex mu_;
  std::map<uint64_t, uint64_t> live_ GUARDED_BY(mu_);
};

}  // namespace sluice
