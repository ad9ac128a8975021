// Counts for a benchmark: which messages were accepted and which were delivered, and how long things took.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "core/base/mutex.h"
#include "core/storage/ack_set.h"

namespace sluice::cli {

// Which sequences of each publisher were accepted by the server, and which came back. Sequences come nearly in order, so
// both are kept as ranges.
class Tracker {
 public:
  // With keys, message number `n` of a publisher has key n % keys, and those of a key are to come in order. 0 for none.
  void SetPublishers(size_t count, uint64_t keys) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    publishers_.resize(count);
    for (Publisher& publisher : publishers_) publisher.last_of_key.resize(keys);
  }

  void Accepted(size_t publisher, uint64_t first, size_t count) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    accepted_ += publishers_[publisher].accepted.Add({Offset(first), Offset(first + count)});
  }

  // Calls each(note), where note(publisher, sequence) counts a delivery.
  template <class Each>
  void Delivered(Each&& each) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    each([this](size_t publisher, uint64_t sequence) {
      mu_.AssertHeld();
      if (publisher >= publishers_.size()) {
        ++unknown_;
      } else if (publishers_[publisher].delivered.Add({Offset(sequence), Offset(sequence + 1)}) == 0) {
        ++duplicates_;
      } else {
        ++delivered_;
        NoteOrder(publishers_[publisher], sequence);
      }
    });
  }

  // Accepted and not delivered. Deliveries whose answer to the publisher was lost count as neither.
  uint64_t missing() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return accepted_ > delivered_ ? accepted_ - delivered_ : 0;
  }
  uint64_t duplicates() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return duplicates_;
  }
  // Delivered after a later one of its key.
  uint64_t out_of_order() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return out_of_order_;
  }
  // Delivered, but never published here.
  uint64_t unknown() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return unknown_;
  }

 private:
  struct Publisher {
    AckSet accepted{Offset(0)};
    AckSet delivered{Offset(0)};
    std::vector<uint64_t> last_of_key;
  };

  void NoteOrder(Publisher& publisher, uint64_t sequence) REQUIRES(mu_) {
    if (publisher.last_of_key.empty()) return;
    uint64_t& last = publisher.last_of_key[sequence % publisher.last_of_key.size()];
    out_of_order_ += sequence < last ? 1 : 0;
    last = std::max(last, sequence);
  }

  mutable Mutex mu_;
  std::vector<Publisher> publishers_ GUARDED_BY(mu_);
  uint64_t accepted_ GUARDED_BY(mu_) = 0;
  uint64_t delivered_ GUARDED_BY(mu_) = 0;
  uint64_t duplicates_ GUARDED_BY(mu_) = 0;
  uint64_t unknown_ GUARDED_BY(mu_) = 0;
  uint64_t out_of_order_ GUARDED_BY(mu_) = 0;
};

// Latencies in nanoseconds, in buckets 1.6 % wide (64 to an octave).
class LatencyHistogram {
 public:
  void Add(int64_t nanos) { buckets_[BucketOf(std::max<int64_t>(nanos, 1))].fetch_add(1, std::memory_order_relaxed); }

  // The upper bound of the bucket in which the quantile lies; 0 when there is nothing.
  double Quantile(double q) const {
    uint64_t total = 0;
    for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
    const auto wanted = static_cast<uint64_t>(std::ceil(q * static_cast<double>(total)));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (seen >= wanted && seen > 0) return std::exp2((static_cast<double>(i) + 1) / kPerOctave);
    }
    return 0;
  }

 private:
  static constexpr double kPerOctave = 64;
  static size_t BucketOf(int64_t nanos) {
    return std::min<size_t>(static_cast<size_t>(std::log2(static_cast<double>(nanos)) * kPerOctave), 64 * 40 - 1);
  }
  std::array<std::atomic<uint64_t>, 64 * 40> buckets_{};
};

}  // namespace sluice::cli
