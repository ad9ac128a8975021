#include "server/delivery/delivery_stream.h"

#include <iterator>
#include <utility>

#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// Answers that wait to be written, or to be known, before the stream reads on.
constexpr size_t kMaxUnanswered = 10'000;

}  // namespace

DeliveryStream* DeliveryStream::Start(std::shared_ptr<DeliveryStream> stream) {
  DeliveryStream* const raw = stream.get();
  raw->self_ = std::move(stream);
  raw->context_.rpcs.of(raw->rpc_).started.Add();
  raw->context_.rpcs.subscribe_streams.Add(1);
  raw->StartRead(&raw->request_buffer_);
  raw->context_.sessions.Join(raw->slot_, raw);
  return raw;
}

void DeliveryStream::OnReadDone(bool ok) {
  bool first = false;
  {
    MutexLock lock(mu_);
    if (!ok) read_pending_ = false;
    half_closed_ = !ok;
    first = ok && state_ == State::kAwaitingFirst;
    if (first) state_ = State::kOpening;
  }
  if (!ok) return EndIfAnswered();
  context_.rpcs.of(rpc_).received.Add();
  Handle(first);
}

absl::Status DeliveryStream::Allow(Right right, const std::string& resource) {
  return context_.AllowStream(slot_, caller_, rpc_, right, resource);
}

void DeliveryStream::Handled(const absl::Status& status) {
  {
    MutexLock lock(mu_);
    read_pending_ = false;
  }
  if (status.ok()) return Advance();
  CountRefusal(status, context_.metrics.engine);
  Close(Told(status));
}

void DeliveryStream::EndIfAnswered() {
  {
    MutexLock lock(mu_);
    if (!half_closed_) return;
    if (state_ == State::kOpen && (unanswered_ > 0 || front_parts_ > 0)) return;
  }
  Close(absl::OkStatus());
}

void DeliveryStream::Deliver(std::vector<Delivery>& deliveries) {
  bool closing = false;
  {
    MutexLock lock(mu_);
    closing = state_ == State::kClosing;
    if (!closing) {
      size_t bytes = 0;
      for (const Delivery& delivery : deliveries)
        bytes += delivery.batch->body_bytes(delivery.begin, delivery.end);
      held_ += bytes;
      context_.engine.memory().Force(MemoryPart::kOutgoing, bytes);
      if (outgoing_.empty()) {
        outgoing_.swap(deliveries);
      } else {
        std::move(deliveries.begin(), deliveries.end(), std::back_inserter(outgoing_));
      }
      if (write_pending_) return;
    }
  }
  closing ? subscription_->Return(deliveries) : Advance();
}

void DeliveryStream::Close(const absl::Status& why) {
  bool detach = false;
  std::vector<Delivery> unsent;
  {
    MutexLock lock(mu_);
    if (state_ != State::kClosing) {
      detach = state_ == State::kOpen;
      state_ = State::kClosing;
      end_ = why;
      unsent.swap(outgoing_);
      DropFront();
      front_parts_ = 0;
    }
  }
  if (detach) {
    // What is on the wire is returned or not once it is known whether it got there (OnWriteDone,
    // OnDone).
    subscription_->Detach(consumer_, /*keeps_leases=*/true);
    if (!unsent.empty()) subscription_->Return(unsent);
  }
  Advance();
}

void DeliveryStream::Lose() {
  {
    MutexLock lock(mu_);
    if (state_ != State::kClosing) lost_ = true;
  }
  Close(absl::CancelledError("the client is gone"));
}

// A client that has said all, and one that the server sends away, has failed nothing. One that
// vanished may have because of what it held.
void DeliveryStream::EndLeases() {
  if (!leases_end_ || subscription_ == nullptr) return;
  bool lost = false;
  {
    MutexLock lock(mu_);
    // A broken connection ends the reading too, and may do so first.
    lost = lost_ || (half_closed_ && end_.ok() && call_.IsCancelled());
    if (leases_survive_ && ReasonOf(end_) == Reason::kDraining) return;
  }
  subscription_->EndLeases(consumer_, lost ? ReleaseCause::kConsumerGone : ReleaseCause::kReturned);
}

void DeliveryStream::Advance() {
  std::vector<Delivery> deliveries;
  bool finish = false;
  absl::Status end;
  {
    MutexLock lock(mu_);
    if (finished_) return;
    if (state_ == State::kClosing) {
      if (write_pending_) return;
      finished_ = finish = true;
      end = end_;
    } else {
      if (state_ == State::kOpen && !read_pending_ && !half_closed_ &&
          front_parts_ + unanswered_ < kMaxUnanswered) {
        read_pending_ = true;
        // Under the lock: once it is released another thread may finish the stream.
        StartRead(&request_buffer_);
      }
      if (write_pending_ || (front_parts_ == 0 && outgoing_.empty())) return;
      deliveries.swap(outgoing_);
      if (std::exchange(front_parts_, 0) > 0) TakeFront();
      write_pending_ = true;
    }
  }
  if (!finish) return Write(std::move(deliveries));
  Finish(EndCall(context_, rpc_, call_, end));
}

// Outside the lock: the engine may go on delivering meanwhile. The stream cannot end before this
// write has.
void DeliveryStream::Write(std::vector<Delivery> deliveries) {
  response_ = Encode(&deliveries);
  deliver_span_ = BeginDeliver(context_.tracer, subscription_, response_.deliveries);
  bool closing = false;
  if (!deliveries.empty()) {
    MutexLock lock(mu_);
    closing = state_ == State::kClosing;
    if (!closing) {
      outgoing_.insert(outgoing_.begin(), std::make_move_iterator(deliveries.begin()),
                       std::make_move_iterator(deliveries.end()));
    }
  }
  if (closing) subscription_->Return(deliveries);
  StartWrite(&response_.buffer);
}

void DeliveryStream::OnWriteDone(bool ok) {
  int64_t bytes = 0;
  bool half_closed = false;
  // An idle stream holds no messages.
  response_.buffer.Clear();
  const std::vector<Delivery> deliveries = std::move(response_.deliveries);
  EndSpan(std::exchange(deliver_span_, nullptr),
          ok ? absl::OkStatus() : absl::CancelledError("the client is gone"));
  // Once the lock is released the next write may begin on another thread.
  const size_t written = response_.message_bytes;
  {
    MutexLock lock(mu_);
    write_pending_ = false;
    half_closed = half_closed_;
    window_.Written(static_cast<int64_t>(written));
    held_ -= written;
    if (ok && state_ == State::kOpen) bytes = window_.Take(context_.engine.memory().tight());
  }
  context_.engine.memory().Give(MemoryPart::kOutgoing, written);
  context_.rpcs.of(rpc_).sent.Add();
  if (!ok) {
    // The stream may be gone once it is closed.
    const std::shared_ptr<Subscription> subscription = subscription_;
    Lose();
    // Where leases outlive their stream; once it is detached, so that they do not come to it again.
    // The client may have them all the same, and exactly once it may not be refused what it
    // acknowledges in time: those wait for their deadline.
    if (!deliveries.empty() && !subscription->properties().exactly_once)
      subscription->Return(deliveries);
    return;
  }
  Advance();
  if (bytes > 0) subscription_->Grant(consumer_, 0, bytes);
  if (half_closed) EndIfAnswered();
}

void DeliveryStream::OnCancel() { Lose(); }

void DeliveryStream::OnDone() {
  EndLeases();
  {
    MutexLock lock(mu_);
    context_.engine.memory().Give(MemoryPart::kOutgoing, held_);
  }
  context_.rpcs.subscribe_streams.Add(-1);
  context_.sessions.Leave(slot_);
  self_ = nullptr;
}

}  // namespace sluice::server
