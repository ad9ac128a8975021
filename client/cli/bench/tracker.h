// Counts for a benchmark: which messages were accepted and which were delivered, and how long
// things took.
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

// Messages [first, first + count) of a publisher that came after each other, sent at the same time
// (nanoseconds of the steady clock).
struct DeliveredRun {
  size_t publisher = 0;
  uint64_t first = 0;
  uint64_t count = 0;
  int64_t intended = 0;
};

// Which sequences of each publisher were accepted by the server, and which came back to each
// subscription. Sequences come nearly in order, so both are kept as ranges.
class Tracker {
 public:
  // With keys, message number `n` of a publisher has key n % keys, and those of a key are to come
  // in order. 0 for none.
  void Expect(size_t publishers, size_t subscriptions, uint64_t keys) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    accepted_of_.resize(publishers);
    subscriptions_.resize(subscriptions);
    for (Subscription& subscription : subscriptions_) {
      subscription.publishers.resize(publishers);
      for (Publisher& publisher : subscription.publishers) publisher.last_of_key.resize(keys);
    }
  }

  void Accepted(size_t publisher, uint64_t first, size_t count) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    accepted_ += accepted_of_[publisher].Add({Offset(first), Offset(first + count)});
  }

  // REQUIRES: Expect was told of as many subscriptions.
  void Delivered(size_t subscription, const std::vector<DeliveredRun>& runs) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    Subscription& to = subscriptions_[subscription];
    for (const DeliveredRun& run : runs) {
      if (run.publisher >= to.publishers.size()) {
        unknown_ += run.count;
        continue;
      }
      Publisher& from = to.publishers[run.publisher];
      const uint64_t fresh = from.delivered.Add({Offset(run.first), Offset(run.first + run.count)});
      to.delivered += fresh;
      duplicates_ += run.count - fresh;
      for (uint64_t i = 0; i < run.count && !from.last_of_key.empty(); ++i)
        NoteOrder(from, run.first + i);
    }
  }

  // Accepted and not delivered, of all subscriptions. Deliveries whose answer to the publisher was
  // lost count as neither.
  uint64_t missing() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    uint64_t missing = 0;
    for (const Subscription& subscription : subscriptions_) {
      missing += accepted_ > subscription.delivered ? accepted_ - subscription.delivered : 0;
    }
    return missing;
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
  // What came from it.
  struct Publisher {
    AckSet delivered{Offset(0)};
    std::vector<uint64_t> last_of_key;
  };
  struct Subscription {
    std::vector<Publisher> publishers;
    uint64_t delivered = 0;
  };
  struct FromZero : AckSet {
    FromZero() : AckSet(Offset(0)) {}
  };

  void NoteOrder(Publisher& publisher, uint64_t sequence) REQUIRES(mu_) {
    uint64_t& last = publisher.last_of_key[sequence % publisher.last_of_key.size()];
    out_of_order_ += sequence < last ? 1 : 0;
    last = std::max(last, sequence);
  }

  mutable Mutex mu_;
  // By publisher.
  std::vector<FromZero> accepted_of_ GUARDED_BY(mu_);
  std::vector<Subscription> subscriptions_ GUARDED_BY(mu_);
  uint64_t accepted_ GUARDED_BY(mu_) = 0;
  uint64_t duplicates_ GUARDED_BY(mu_) = 0;
  uint64_t unknown_ GUARDED_BY(mu_) = 0;
  uint64_t out_of_order_ GUARDED_BY(mu_) = 0;
};

// Latencies in nanoseconds, in buckets 1.6 % wide (64 to an octave).
class LatencyHistogram {
 public:
  void Add(int64_t nanos, uint64_t count) {
    buckets_[BucketOf(std::max<int64_t>(nanos, 1))].fetch_add(count, std::memory_order_relaxed);
  }

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
    return std::min<size_t>(static_cast<size_t>(std::log2(static_cast<double>(nanos)) * kPerOctave),
                            64 * 40 - 1);
  }
  std::array<std::atomic<uint64_t>, 64 * 40> buckets_{};
};

}  // namespace sluice::cli
