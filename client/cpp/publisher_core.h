// The state machine behind a Publisher. It outlives the publisher by as long as its stream takes to
// end.
//
//   messages --Publish--> open_ --full, due or flushed--> waiting_ --Write--> in_flight_ --result--> waiters told
//                                                            ^                    |
//                                                            +--- stream ended ---+   (or refused for the moment)
//
// There is one stream at a time; it is opened when there is something to send, and after
// `resume_at_` where the one before failed. Everything that happens later hangs on one alarm:
// batches that are due, deadlines, the next attempt.
//
// Thread rule: every member may be called from any thread; one mutex guards all, and is never held
// while a waiter is told or a stream is written to. Once `abandoned_`, clock and timers are not
// touched: they may be gone.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "client/cpp/backoff.h"
#include "client/cpp/message.h"
#include "client/cpp/publish_batch.h"
#include "client/cpp/publisher.h"
#include "client/cpp/stream.h"
#include "core/base/alarm.h"
#include "core/base/mutex.h"

namespace sluice::client {

class PublisherCore final : public StreamEvents,
                            public std::enable_shared_from_this<PublisherCore> {
 public:
  PublisherCore(StreamFactory streams, const Clock& clock, TimerQueue& timers, std::string topic,
                PublisherOptions options);

  // Whether messages share their batch with others.
  enum class Company { kOthers, kNone };
  void Publish(std::span<const Message> messages, Company company, PublishDone done) EXCLUDES(mu_);
  void Flush() EXCLUDES(mu_);
  absl::Status Close(absl::Duration timeout) EXCLUDES(mu_);
  // For the publisher's destructor: returns when no callback runs any more.
  void Abandon() EXCLUDES(mu_);

  void OnMessage(const grpc::ByteBuffer& message) override;
  void OnWritten() override;
  void OnClosed(const absl::Status& status) override;
  // From `alarm_`.
  void OnAlarm() EXCLUDES(mu_);

 private:
  // Batches whose waiters are to be told, once the lock is released.
  using Told = std::vector<std::pair<Ref<PublishBatch>, absl::StatusOr<uint64_t>>>;

  bool HasRoom(size_t count, size_t bytes) const REQUIRES(mu_);
  // Waits for room as the options have it.
  absl::Status Admit(size_t count, size_t bytes, MutexLock& lock) REQUIRES(mu_);
  void Add(std::string encoded, uint32_t count, Company company, PublishDone done) REQUIRES(mu_);
  void Seal() REQUIRES(mu_);
  // Starts whatever can be started now: a stream, a write.
  void Advance() EXCLUDES(mu_);
  void Expire(Instant now, Told* told) REQUIRES(mu_);
  Instant NextEvent() const REQUIRES(mu_);

  void Take(const BatchResult& result, Told* told) REQUIRES(mu_);
  // Back in line, by age.
  void PutBack(Ref<PublishBatch> batch) REQUIRES(mu_);
  void Pause(const absl::Status& why) REQUIRES(mu_);
  // It is under way no more, but to be told.
  void Settle(const PublishBatch& batch) REQUIRES(mu_);
  void FailAll(const absl::Status& status, Told* told) REQUIRES(mu_);
  void Tell(const Told& told) EXCLUDES(mu_);

  const StreamFactory streams_;
  const Clock& clock_;
  const std::string topic_;
  const PublisherOptions options_;
  const Producer producer_;

  Mutex mu_{LockRank::kSession};
  // Room, or nothing under way, or nobody being told.
  CondVar changed_;
  Alarm alarm_ GUARDED_BY(mu_);
  Backoff backoff_ GUARDED_BY(mu_);
  Ref<PublishBatch> open_ GUARDED_BY(mu_);
  // In the order of their ids.
  std::deque<Ref<PublishBatch>> waiting_ GUARDED_BY(mu_);
  std::deque<Ref<PublishBatch>> in_flight_ GUARDED_BY(mu_);
  uint64_t next_id_ GUARDED_BY(mu_) = 1;
  // Of all three together, without what has expired.
  size_t messages_ GUARDED_BY(mu_) = 0;
  size_t bytes_ GUARDED_BY(mu_) = 0;

  std::shared_ptr<Stream> stream_ GUARDED_BY(mu_);
  bool first_write_ GUARDED_BY(mu_) = true;
  bool writing_ GUARDED_BY(mu_) = false;
  // Nothing is sent before.
  Instant resume_at_ GUARDED_BY(mu_);

  // Settled, and their waiters not all told yet.
  size_t telling_ GUARDED_BY(mu_) = 0;
  // No more is taken.
  bool closed_ GUARDED_BY(mu_) = false;
  bool abandoned_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::client
