// What is counted, without saying how it is exported: server/http turns these into Prometheus
// series, an embedding program may read them directly. Units are base units (seconds, bytes);
// counters only grow.
//
// Thread rule: every member may be called from any thread; a reader sees each number whole, the
// numbers of one moment only approximately together.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "absl/time/time.h"
#include "core/base/error.h"
#include "core/metrics/cells.h"

namespace sluice {

class Counter {
 public:
  void Add(uint64_t n = 1) { value_.Add(0, n); }
  uint64_t value() const { return value_.Sum(0); }

 private:
  Cells value_{1};
};

class Gauge {
 public:
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Counts observations in buckets with fixed upper bounds.
class Histogram {
 public:
  explicit Histogram(std::initializer_list<double> bounds)
      : bounds_(bounds), cells_(static_cast<uint32_t>(bounds.size()) + 2) {}

  void Observe(double value, uint64_t times = 1);
  void Observe(absl::Duration d, uint64_t times = 1) {
    Observe(static_cast<double>(absl::ToInt64Nanoseconds(d)) * 1e-9, times);
  }

  // Upper bounds without the last, infinite one; counts per bucket (not cumulative) with it.
  const std::vector<double>& bounds() const { return bounds_; }
  std::vector<uint64_t> counts() const;
  double sum() const { return cells_.SumReal(sum_cell()); }

 private:
  // A cell for each bucket, and the last for the sum.
  uint32_t sum_cell() const { return static_cast<uint32_t>(bounds_.size()) + 1; }

  const std::vector<double> bounds_;
  Cells cells_;
};

// Of the store.
struct StoreMetrics {
  Counter commits;
  Counter appended_bytes;
  Counter read_bytes;
  Counter segments_deleted;
  Counter relocated_bytes;
  Counter write_errors;
  Counter read_errors;
  Counter checkpoints_made;
  Counter checkpoints_failed;
  Counter backups_made;
  Counter backups_failed;
  // When the newest backup was made, in seconds since 1970; 0 when there is none.
  Gauge last_backup_time;
  Histogram commit_seconds{.00005, .0001, .00025, .0005, .001, .0025, .005,
                           .01,    .025,  .05,    .1,    .25,  1,     5};
  Histogram fsync_seconds{.00005, .0001, .00025, .0005, .001, .0025, .005,
                          .01,    .025,  .05,    .1,    .25,  1,     5};
  Histogram commit_batches{1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
};

// Of circuit breakers of one kind.
struct BreakerMetrics {
  // By the state they changed to: closed, open, half-open.
  std::array<Counter, 3> changes;
  // Calls refused, or times that a delivery was held back.
  Counter rejections;
  // How many are open or half-open now, where there may be several.
  Gauge not_closed;

  void CountChange(size_t to) { changes[to].Add(); }
};

// Of the engine.
struct EngineMetrics {
  Counter published_messages;
  Counter published_bytes;
  Counter published_batches;
  // That came again and got their first answer.
  Counter repeated_batches;
  Counter delivered_messages;
  Counter delivered_bytes;
  Counter redelivered_messages;
  Counter acked_messages;
  Counter nacked_messages;
  Counter expired_leases;
  // Messages that subscriptions passed over because of their filter.
  Counter filtered_messages;
  // Messages whose time to be delivered had passed.
  Counter expired_messages;
  // Messages damaged on the disk that subscriptions went past since they are set to.
  Counter skipped_damaged_messages;
  // How often a subscription came to hold back as much as it may.
  Counter held_full;
  // Messages copied to a dead-letter topic, and those that could not be for the moment.
  Counter dead_lettered_messages;
  Counter dead_letter_failures;
  // Messages that went away unacknowledged.
  Counter dropped_by_retention_time;
  Counter dropped_by_retention_bytes;
  Counter dropped_by_topic_deletion;
  // Subscriptions deleted because nobody used them for as long as they say.
  Counter expired_subscriptions;
  // Refusals by reason.
  std::array<Counter, kReasonCount> refused;
  // From acceptance to durable.
  Histogram publish_seconds{.00005, .0001, .00025, .0005, .001, .0025, .005,
                            .01,    .025,  .05,    .1,    .25,  1,     5};
  // From publish time to the first delivery.
  Histogram delivery_seconds{.0001, .00025, .0005, .001, .0025, .005, .01, .025,
                             .05,   .1,     .25,   1,    5,     30,   300};
  Histogram batch_messages{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000};
  BreakerMetrics store_breaker;
  BreakerMetrics delivery_breakers;
  Gauge consumers;
};

// Of core/flow/admission.h: where a limit on publishing stands, and what it limits.
enum class AdmissionScope { kServer, kProject, kTopic, kIdentity };
enum class AdmissionLimit { kBatches, kBytes, kMessageRate, kByteRate };
inline constexpr size_t kAdmissionScopes = 4;
inline constexpr size_t kAdmissionLimits = 4;

struct AdmissionMetrics {
  template <class T>
  using PerLimit = std::array<std::array<T, kAdmissionLimits>, kAdmissionScopes>;

  Counter admitted;
  // By the limit that stood in the way when they came: of those that waited, how many there were
  // and how many still do; those refused, at once or after their wait.
  PerLimit<Counter> waited;
  PerLimit<Counter> refused;
  PerLimit<Gauge> waiting;
  // Refused since too many waited already.
  Counter refused_queue_full;
};

// Of the handlers of a program that embeds the engine (core/embedded); messages, if nothing else is
// said.
struct HandlerMetrics {
  Counter threw;
  Counter timed_out;
  Counter returned_late;
  // Threads whose handler had not returned when its subscriber was closed.
  Counter threads_left_behind;
  // Callbacks other than handlers.
  Counter callbacks_threw;
};

// Of pushing; requests, if nothing else is said.
struct PushMetrics {
  // By what came of them: acknowledged, answered otherwise, not answered in time, no answer to be
  // had.
  Counter acked;
  Counter refused;
  Counter timed_out;
  Counter unreachable;
  Gauge under_way;
  Histogram seconds{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600};
  BreakerMetrics breakers;
};

struct Metrics {
  AdmissionMetrics admission;
  EngineMetrics engine;
  HandlerMetrics handlers;
  PushMetrics push;
  StoreMetrics store;
};

}  // namespace sluice
