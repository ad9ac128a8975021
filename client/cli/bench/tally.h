// What a benchmark counts, whichever API the load goes over: what was sent, accepted, refused and
// delivered, and how long it took. Latencies count from the moment a batch was meant to be sent,
// which stands in the front of every payload.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "client/cli/bench/tracker.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"

namespace sluice::cli {

// Messages [first, first + count) of a publisher, sent with one request.
struct Batch {
  size_t publisher = 0;
  uint64_t first = 0;
  size_t count = 0;
  // When it was meant to be sent, in nanoseconds of the steady clock.
  int64_t intended = 0;
};

// The front of every payload.
struct Stamp {
  uint32_t publisher = 0;
  uint32_t reserved = 0;
  uint64_t sequence = 0;
  int64_t intended = 0;
};

// Writes the stamp of the batch's message number `i`. REQUIRES: `payload` has room for it.
inline void WriteStamp(const Batch& batch, size_t i, char* payload) {
  const Stamp stamp{static_cast<uint32_t>(batch.publisher), 0, batch.first + i, batch.intended};
  std::memcpy(payload, &stamp, sizeof stamp);
}

// Stamps as runs: messages of a batch come after each other, so that there is one thing to count
// for all of them.
class Runs {
 public:
  void Clear() { runs_.clear(); }
  // The front of a payload; one that has no room for a stamp came from somebody else.
  void Add(std::string_view payload) {
    Stamp stamp{UINT32_MAX, 0, 0, 0};
    if (payload.size() >= sizeof stamp) std::memcpy(&stamp, payload.data(), sizeof stamp);
    if (!runs_.empty()) {
      DeliveredRun& last = runs_.back();
      if (last.publisher == stamp.publisher && last.first + last.count == stamp.sequence &&
          last.intended == stamp.intended) {
        ++last.count;
        return;
      }
    }
    runs_.push_back({stamp.publisher, stamp.sequence, 1, stamp.intended});
  }
  const std::vector<DeliveredRun>& runs() const { return runs_; }

 private:
  std::vector<DeliveredRun> runs_;
};

inline int64_t NowNanos() { return SystemClock().Now().nanos(); }

class Tally {
 public:
  void Accepted(const Batch& batch) {
    accepted_ += batch.count;
    publish_latency_.Add(NowNanos() - batch.intended, batch.count);
    tracker_.Accepted(batch.publisher, batch.first, batch.count);
  }

  // Ends the benchmark, as Failed does.
  void Refused(const Batch& batch, const absl::Status& why) {
    refused_ += batch.count;
    Failed(why);
  }

  // What a subscription got with one response. `runs` are those of its stamps (Runs).
  void Delivered(size_t subscription, const std::vector<DeliveredRun>& runs) {
    const int64_t now = NowNanos();
    uint64_t count = 0;
    for (const DeliveredRun& run : runs) {
      delivery_latency_.Add(now - run.intended, run.count);
      count += run.count;
    }
    tracker_.Delivered(subscription, runs);
    delivered_ += count;
    if (pace_ > 0) KeepPace();
  }

  // Messages a second; 0 for as fast as they come. Deliveries wait, before they are acknowledged,
  // until this is kept. REQUIRES: nothing was delivered yet.
  void SetPace(double rate) {
    pace_ = rate;
    pace_start_ = NowNanos();
  }

  // The first error stays.
  void Failed(const absl::Status& why) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (error_.ok()) error_ = why;
    stopped_ = true;
  }
  absl::Status error() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return error_;
  }
  // Whether no more is to be sent.
  bool stopped() const { return stopped_; }

  uint64_t accepted() const { return accepted_; }
  uint64_t refused() const { return refused_; }
  uint64_t delivered() const { return delivered_; }
  const LatencyHistogram& publish_latency() const { return publish_latency_; }
  const LatencyHistogram& delivery_latency() const { return delivery_latency_; }
  Tracker& tracker() { return tracker_; }

 private:
  void KeepPace() const {
    const auto due =
        pace_start_ + static_cast<int64_t>(static_cast<double>(delivered()) * 1e9 / pace_);
    if (const int64_t early = due - NowNanos(); early > 0) absl::SleepFor(absl::Nanoseconds(early));
  }

  // Constant while something is delivered.
  double pace_ = 0;
  int64_t pace_start_ = 0;

  std::atomic<uint64_t> accepted_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> delivered_{0};
  std::atomic<bool> stopped_{false};
  LatencyHistogram publish_latency_;
  LatencyHistogram delivery_latency_;
  Tracker tracker_;

  mutable Mutex mu_;
  absl::Status error_ GUARDED_BY(mu_);
};

}  // namespace sluice::cli
