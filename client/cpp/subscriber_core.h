// The state machine behind a Subscriber. It outlives the subscriber by as long as its stream takes
// to end.
//
//   kIdle --Start--> kReceiving <--> (no stream, waiting for the next attempt)
//   kReceiving --Stop--> kStopping --handlers done, verdicts told--> kEnded
//   kReceiving --permanent error--> kEnded
//
// A response is one run of `pool_`, however many messages it holds; its threads take from the
// front. Verdicts and credit collect until the write before them is done, then all go in one. When
// a stream ends, what was queued from it is dropped and what is being handled loses its meaning for
// the server (`stream_number_`): both come again.
//
// Thread rule: every member may be called from any thread; one mutex guards all, and is never held
// while a handler runs or a stream is written to. Once kEnded, clock and timers are not touched:
// they may be gone.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "client/cpp/backoff.h"
#include "client/cpp/confirmations.h"
#include "client/cpp/held_deliveries.h"
#include "client/cpp/run.h"
#include "client/cpp/settlements.h"
#include "client/cpp/stream.h"
#include "client/cpp/subscriber.h"
#include "core/base/alarm.h"
#include "core/base/mutex.h"
#include "core/flow/credit_window.h"
#include "core/flow/handler_pool.h"

namespace sluice::client {

class SubscriberCore final : public StreamEvents,
                             public HandlerPool<Run>::Owner,
                             public std::enable_shared_from_this<SubscriberCore> {
 public:
  SubscriberCore(StreamFactory streams, const Clock& clock, TimerQueue& timers,
                 SubscriberTarget target, SubscriberOptions options);

  // The handler gets at most `messages_per_call` at once.
  void Start(size_t messages_per_call, Subscriber::BatchHandler handler) EXCLUDES(mu_);
  absl::Status Stop(absl::Duration timeout) EXCLUDES(mu_);
  // For the subscriber's destructor: returns when no handler runs any more.
  void Abandon() EXCLUDES(mu_);
  SubscriberCounters counters() const EXCLUDES(mu_);

  void OnMessage(const grpc::ByteBuffer& message) override;
  void OnWritten() override;
  void OnClosed(const absl::Status& status) override;
  void OnHandled(const Run& run, HandlerEvent event,
                 const std::optional<Verdict>& verdict) override;
  // From `alarm_`.
  void OnAlarm() EXCLUDES(mu_);

 private:
  enum class State { kIdle, kReceiving, kStopping, kEnded };

  void OpenStream() EXCLUDES(mu_);
  // Returns acknowledgements of earlier streams that nobody will confirm.
  std::vector<Confirmation> Opened(const Received& received) REQUIRES(mu_);
  std::vector<Confirmation> TakeUp(const Received& received) REQUIRES(mu_);
  // Whether what is held is kept for the next stream.
  bool Keeps(const absl::Status& closed) const REQUIRES(mu_);
  // These return acknowledgements that nobody will confirm.
  std::vector<Confirmation> Settle(const Run& run, const Verdict& verdict) REQUIRES(mu_);
  std::vector<Confirmation> GiveUp() REQUIRES(mu_);
  // By an id of the stream that is open.
  void SettleOne(HeldId id, const Verdict& verdict) REQUIRES(mu_);
  void Enqueue(std::shared_ptr<const Received> received) REQUIRES(mu_);
  void DropQueue() REQUIRES(mu_);
  // What is to be told the caller, once the lock is released: Tell(TakeTold(...)).
  std::vector<Confirmation> TakeTold(std::vector<Confirmation> told) REQUIRES(mu_);
  void Tell(const std::vector<Confirmation>& told) EXCLUDES(mu_);

  // Writes what there is to say, unless a write is under way.
  void Speak() EXCLUDES(mu_);
  void SetTarget(v1::SubscribeRequest* request) const REQUIRES(mu_);

  void ExtendLeases() REQUIRES(mu_);

  const StreamFactory streams_;
  const Clock& clock_;
  const SubscriberTarget target_;
  const SubscriberOptions options_;
  const std::shared_ptr<HandlerPool<Run>> pool_;
  // How many messages the last response held; for OnMessage alone.
  size_t likely_count_ = 0;

  mutable Mutex mu_{LockRank::kSession};
  // A write or the stream has ended.
  CondVar quiet_;
  State state_ GUARDED_BY(mu_) = State::kIdle;
  Alarm alarm_ GUARDED_BY(mu_);
  Backoff backoff_ GUARDED_BY(mu_);
  CreditWindow window_ GUARDED_BY(mu_);
  Settlements settlements_ GUARDED_BY(mu_);
  bool exactly_once_ GUARDED_BY(mu_) = false;
  Confirmations confirmations_ GUARDED_BY(mu_);
  HeldDeliveries held_ GUARDED_BY(mu_);
  // To be acknowledged once more, at this time.
  std::vector<uint64_t> too_early_ GUARDED_BY(mu_);
  Instant again_at_ GUARDED_BY(mu_) = Instant::Never();
  uint64_t received_ GUARDED_BY(mu_) = 0;
  uint64_t connections_ GUARDED_BY(mu_) = 0;

  std::shared_ptr<Stream> stream_ GUARDED_BY(mu_);
  // Of the stream that is open, or of the last one.
  uint64_t stream_number_ GUARDED_BY(mu_) = 0;
  bool named_target_ GUARDED_BY(mu_) = false;
  bool opened_ GUARDED_BY(mu_) = false;
  bool writing_ GUARDED_BY(mu_) = false;
  std::vector<DeliveryIds> extensions_ GUARDED_BY(mu_);
  // When a new stream is tried, an opening one given up, leases prolonged; by the state of the
  // stream.
  Instant stream_event_at_ GUARDED_BY(mu_) = Instant::Never();
  absl::Duration ack_deadline_ GUARDED_BY(mu_) = absl::Seconds(10);
  // For a subscription of the stream's own: where the next one begins.
  uint64_t resume_at_id_ GUARDED_BY(mu_) = 0;
  // Calls of `finished` and `confirmed` that are running.
  int calling_ GUARDED_BY(mu_) = 0;
};

}  // namespace sluice::client
