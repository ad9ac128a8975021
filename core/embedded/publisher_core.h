// The state behind a Publisher. It outlives the publisher by as long as its batches take to be
// answered.
//
//   messages --Publish--> open_ --full, due or flushed--> waiting_ --one thread at a time--> Topic::Publish --> waiters told
//
// Thread rule: every member may be called from any thread; one mutex guards all, and is never held
// while a waiter is told or the topic is published to. Once closed, the timers are not touched:
// they may be gone.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "core/base/alarm.h"
#include "core/base/mutex.h"
#include "core/embedded/foundation.h"
#include "core/embedded/publisher.h"
#include "core/engine/topic.h"

namespace sluice::embedded {

class PublisherCore : public std::enable_shared_from_this<PublisherCore> {
 public:
  PublisherCore(std::shared_ptr<Foundation> foundation, TimerQueue& timers,
                std::shared_ptr<Topic> topic, PublisherOptions options);

  // Whether messages share their batch with others.
  enum class Company { kOthers, kNone };
  void Publish(std::span<const OutgoingMessage> messages, Company company, Publisher::Done done)
      EXCLUDES(mu_);
  void Flush() EXCLUDES(mu_);
  absl::Status Close(absl::Duration timeout) EXCLUDES(mu_);
  // From `alarm_`.
  void OnAlarm() EXCLUDES(mu_);

 private:
  // One call of Publish.
  struct Part {
    Ref<Batch> messages;
    Publisher::Done done;
  };
  struct Collected {
    std::vector<Part> parts;
    uint32_t count = 0;
    size_t bytes = 0;
  };

  bool HasRoom(const Batch& messages) const REQUIRES(mu_);
  // Waits for room as the options have it.
  absl::Status Admit(const Batch& messages, MutexLock& lock) REQUIRES(mu_);
  void Add(Part part, Company company) REQUIRES(mu_);
  void Seal() REQUIRES(mu_);
  // Hands what is sealed or due to the topic, in order, unless another thread is at it.
  void Advance() EXCLUDES(mu_);
  void Send(Collected collected) EXCLUDES(mu_);
  void Answered(const Collected& collected, const absl::StatusOr<Published>& published)
      EXCLUDES(mu_);
  void Tell(const Publisher::Done& done, const absl::StatusOr<uint64_t>& result);

  const std::shared_ptr<Foundation> foundation_;
  const std::shared_ptr<Topic> topic_;
  const PublisherOptions options_;

  Mutex mu_{LockRank::kSession};
  // Room, or nothing under way.
  CondVar changed_;
  Alarm alarm_ GUARDED_BY(mu_);
  Collected open_ GUARDED_BY(mu_);
  // When `open_` goes, if there is something in it.
  Instant due_ GUARDED_BY(mu_) = Instant::Never();
  std::deque<Collected> waiting_ GUARDED_BY(mu_);
  bool sending_ GUARDED_BY(mu_) = false;
  // Not answered yet.
  size_t messages_ GUARDED_BY(mu_) = 0;
  size_t bytes_ GUARDED_BY(mu_) = 0;
  bool closed_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::embedded
