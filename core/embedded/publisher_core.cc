#include "core/embedded/publisher_core.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/message/limits.h"
#include "fmt/format.h"

namespace sluice::embedded {
namespace {

absl::Status Closed() { return Error(Reason::kDraining, "the publisher is closed"); }

PublisherOptions Bounded(PublisherOptions options) {
  options.batch_messages = std::clamp<size_t>(options.batch_messages, 1, kMaxMessagesPerBatch);
  options.batch_bytes = std::min(options.batch_bytes, kMaxRequestBytes);
  return options;
}

size_t BytesOf(const Batch& messages) { return messages.body_bytes(0, messages.count()); }

// Checked and in wire form.
absl::StatusOr<Ref<Batch>> Encode(std::span<const OutgoingMessage> messages) {
  thread_local BatchBuilder builder;
  builder.Clear();
  for (const OutgoingMessage& message : messages) {
    if (absl::Status status = builder.Add(message); !status.ok()) return status;
  }
  return builder.Build();
}

}  // namespace

PublisherCore::PublisherCore(std::shared_ptr<Foundation> foundation, TimerQueue& timers,
                             std::shared_ptr<Topic> topic, PublisherOptions options)
    : foundation_(std::move(foundation)),
      topic_(std::move(topic)),
      options_(Bounded(options)),
      alarm_(timers) {}

void PublisherCore::Publish(std::span<const OutgoingMessage> messages, Company company,
                            Publisher::Done done) {
  absl::StatusOr<Ref<Batch>> encoded = Encode(messages);
  if (!encoded.ok()) return Tell(done, encoded.status());
  {
    MutexLock lock(mu_);
    if (!HasRoom(**encoded)) {
      // What would fill the open batch cannot come in before that has gone.
      Seal();
      lock.Unlock();
      Advance();
      lock.Lock();
    }
    if (const absl::Status refused = Admit(**encoded, lock); !refused.ok()) {
      lock.Unlock();
      return Tell(done, refused);
    }
    Add({*std::move(encoded), std::move(done)}, company);
  }
  Advance();
}

bool PublisherCore::HasRoom(const Batch& messages) const {
  return messages_ == 0 || (messages_ + messages.count() <= options_.max_messages &&
                            bytes_ + BytesOf(messages) <= options_.max_bytes);
}

absl::Status PublisherCore::Admit(const Batch& messages, MutexLock& lock) {
  while (!closed_ && !HasRoom(messages)) {
    if (options_.when_full == PublisherOptions::WhenFull::kReject) {
      return Error(
          Reason::kTooMuchInFlight,
          fmt::format("{} messages with {} bytes are not answered yet", messages_, bytes_));
    }
    changed_.Wait(lock);
  }
  return closed_ ? Closed() : absl::OkStatus();
}

void PublisherCore::Add(Part part, Company company) {
  const uint32_t count = part.messages->count();
  const size_t bytes = BytesOf(*part.messages);
  messages_ += count;
  bytes_ += bytes;
  if (company == Company::kNone || open_.bytes + bytes > options_.batch_bytes) Seal();
  if (open_.parts.empty()) {
    due_ = foundation_->clock.Now() + options_.batch_delay;
    if (options_.batch_delay > absl::ZeroDuration()) alarm_.RingBy(due_, *this);
  }
  open_.parts.push_back(std::move(part));
  open_.count += count;
  open_.bytes += bytes;
  if (company == Company::kNone || open_.count >= options_.batch_messages ||
      open_.bytes >= options_.batch_bytes)
    Seal();
}

void PublisherCore::Seal() {
  if (open_.parts.empty()) return;
  waiting_.push_back(std::exchange(open_, {}));
}

void PublisherCore::Flush() {
  {
    MutexLock lock(mu_);
    Seal();
  }
  Advance();
}

void PublisherCore::OnAlarm() {
  {
    MutexLock lock(mu_);
    if (closed_) return;
    alarm_.Rang(foundation_->clock.Now());
    // Of a batch that was begun since it was set.
    if (!open_.parts.empty()) alarm_.RingBy(due_, *this);
  }
  Advance();
}

void PublisherCore::Advance() {
  MutexLock lock(mu_);
  if (sending_) return;
  sending_ = true;
  for (;;) {
    if (waiting_.empty() && !open_.parts.empty() && due_ <= foundation_->clock.Now()) Seal();
    if (waiting_.empty()) break;
    Collected collected = std::move(waiting_.front());
    waiting_.pop_front();
    lock.Unlock();
    Send(std::move(collected));
    lock.Lock();
  }
  sending_ = false;
}

void PublisherCore::Send(Collected collected) {
  Ref<Batch> batch;
  if (collected.parts.size() == 1) {
    batch = std::move(collected.parts.front().messages);
  } else {
    std::vector<std::string_view> messages;
    messages.reserve(collected.count);
    bool plain = true;
    std::pair<int64_t, uint32_t> latest_delivery(kDeliverAtOnce, 0);
    for (const Part& part : collected.parts) {
      const auto begin = static_cast<uint32_t>(messages.size());
      plain &= part.messages->plain();
      latest_delivery = std::max(latest_delivery, {part.messages->latest_delivery_us(),
                                                   begin + part.messages->latest_delivery_index()});
      for (uint32_t i = 0; i < part.messages->count(); ++i)
        messages.push_back(part.messages->message(i));
    }
    batch = Batch::Compose(messages, plain);
    batch->set_latest_delivery(latest_delivery.first, latest_delivery.second);
  }
  topic_->Publish(std::move(batch), [self = shared_from_this(), collected = std::move(collected)](
                                        const absl::StatusOr<Published>& published) {
    self->Answered(collected, published);
  });
}

void PublisherCore::Answered(const Collected& collected,
                             const absl::StatusOr<Published>& published) {
  uint64_t id = published.ok() ? published->first.value() : 0;
  for (const Part& part : collected.parts) {
    published.ok() ? Tell(part.done, id) : Tell(part.done, published.status());
    // The part that was alone has given its messages away; nobody comes after it.
    if (part.messages) id += part.messages->count();
  }
  MutexLock lock(mu_);
  messages_ -= collected.count;
  bytes_ -= collected.bytes;
  changed_.NotifyAll();
}

void PublisherCore::Tell(const Publisher::Done& done, const absl::StatusOr<uint64_t>& result) {
  if (!done) return;
  try {
    done(result);
  } catch (...) {
    // It would end the store's thread, and the process with it.
    foundation_->metrics.handlers.callbacks_threw.Add();
  }
}

absl::Status PublisherCore::Close(absl::Duration timeout) {
  const SystemClock system_clock;
  const Instant end = system_clock.Now() + timeout;
  {
    MutexLock lock(mu_);
    if (!std::exchange(closed_, true)) alarm_.Off();
    changed_.NotifyAll();
  }
  Flush();
  MutexLock lock(mu_);
  while (messages_ > 0 && system_clock.Now() < end)
    changed_.WaitFor(lock, end - system_clock.Now());
  if (messages_ == 0) return absl::OkStatus();
  return Error(Reason::kDeadlineExceeded,
               fmt::format("{} messages were not answered in time", messages_));
}

}  // namespace sluice::embedded
