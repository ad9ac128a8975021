#include "core/message/batch.h"

#include <new>

#include "core/base/error.h"
#include "core/message/limits.h"
#include "core/message/validate.h"
#include "fmt/format.h"

namespace sluice {
namespace {

template <class T>
T LoadAt(std::string_view record, size_t at) {
  T value;
  std::memcpy(&value, record.data() + at, sizeof value);
  return value;
}

absl::Status TooManyMessages(size_t count) {
  return Error(Reason::kTooManyMessages,
               fmt::format("messages: more than {} messages in one request", kMaxMessagesPerBatch),
               {{"field", "messages"},
                {"value", std::to_string(count)},
                {"limit", std::to_string(kMaxMessagesPerBatch)}});
}

}  // namespace

Ref<Batch> Batch::Allocate(size_t record_bytes) {
  return Ref<Batch>::Adopt(new (::operator new(sizeof(Batch) + record_bytes)) Batch(record_bytes));
}

void Batch::Destroy(Batch* batch) {
  batch->~Batch();
  ::operator delete(batch);
}

absl::Status Batch::Check(std::string_view record) {
  const auto damaged = [](std::string_view what) {
    return Error(Reason::kDataLoss, fmt::format("batch record: {}", what));
  };
  if (record.size() < kBatchHeaderBytes) return damaged("shorter than its header");
  const auto version = LoadAt<uint8_t>(record, 0);
  if (version > kBatchVersion) {
    return Error(Reason::kNewerFormat,
                 fmt::format("batch record: version {} is newer than {}, the newest this "
                             "program knows",
                             version, kBatchVersion));
  }
  if (version != kBatchVersion) return damaged("no such version");
  if (LoadAt<uint8_t>(record, 1) > kPlainFlag || LoadAt<uint16_t>(record, 2) != 0)
    return damaged("flags that mean nothing");
  const auto count = LoadAt<uint32_t>(record, 4);
  if (count == 0 || count > kMaxMessagesPerBatch) return damaged("count out of bounds");
  const size_t body = kBatchHeaderBytes + size_t{4} * count;
  if (record.size() < body) return damaged("shorter than its table of ends");
  uint32_t previous = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const auto end = LoadAt<uint32_t>(record, kBatchHeaderBytes + size_t{4} * i);
    if (end < previous) return damaged("ends that go backwards");
    previous = end;
  }
  if (previous != record.size() - body) return damaged("body and table of ends disagree");
  return absl::OkStatus();
}

Ref<Batch> Batch::Compose(const std::vector<std::string_view>& messages, bool plain) {
  size_t body_bytes = 0;
  for (std::string_view message : messages) body_bytes += message.size();
  const auto count = static_cast<uint32_t>(messages.size());
  Ref<Batch> batch = Allocate(kBatchHeaderBytes + size_t{4} * count + body_bytes);
  char* out = batch->mutable_record();
  std::memset(out, 0, kBatchHeaderBytes);
  out[0] = static_cast<char>(kBatchVersion);
  out[1] = static_cast<char>(plain ? kPlainFlag : 0);
  std::memcpy(out + 4, &count, sizeof count);
  char* ends = out + kBatchHeaderBytes;
  char* body = ends + size_t{4} * count;
  uint32_t end = 0;
  for (std::string_view message : messages) {
    std::memcpy(body + end, message.data(), message.size());
    end += static_cast<uint32_t>(message.size());
    std::memcpy(ends, &end, sizeof end);
    ends += sizeof end;
  }
  return batch;
}

absl::StatusOr<Ref<Batch>> Batch::Decode(Offset first, std::string_view record) {
  if (auto status = Check(record); !status.ok()) return status;
  Ref<Batch> batch = Allocate(record.size());
  std::memcpy(batch->mutable_record(), record.data(), record.size());
  batch->set_first(first);
  return batch;
}

absl::Status Batch::CheckDeadline(const Clock& clock) const {
  if (deadline_ == Instant::Never() || clock.Now() < deadline_) return absl::OkStatus();
  return Error(Reason::kDeadlineExceeded,
               "the deadline passed before the batch was written; nothing was stored");
}

absl::Status BatchBuilder::Add(std::string_view wire) {
  if (index() >= kMaxMessagesPerBatch) return TooManyMessages(index() + 1);
  MessageTraits traits;
  const auto form = CheckMessage(wire, index(), &traits);
  if (!form.ok()) return Refuse(form.status());
  if (*form == WireForm::kNeedsRewrite) {
    std::string* stored = NextScratch();
    RewriteMessage(wire, stored);
    wire = *stored;
  }
  Take(wire, traits);
  return absl::OkStatus();
}

absl::Status BatchBuilder::Add(const OutgoingMessage& message) {
  if (index() >= kMaxMessagesPerBatch) return TooManyMessages(index() + 1);
  MessageTraits traits;
  if (absl::Status status = CheckMessage(message, index(), &traits); !status.ok())
    return Refuse(std::move(status));
  std::string* stored = NextScratch();
  AppendWire(message, stored);
  Take(*stored, traits);
  return absl::OkStatus();
}

void BatchBuilder::Take(std::string_view stored, const MessageTraits& traits) {
  plain_ &= traits.plain;
  traced_ |= traits.traced;
  if (traits.deliver_at_us > latest_delivery_us_) {
    latest_delivery_us_ = traits.deliver_at_us;
    latest_delivery_index_ = static_cast<uint32_t>(index());
  }
  messages_.push_back(stored);
  body_bytes_ += stored.size();
}

absl::Status BatchBuilder::Refuse(absl::Status why) {
  if (mode_ == Mode::kAllOrNothing) return why;
  refusals_.push_back({static_cast<uint32_t>(index()), std::move(why)});
  return absl::OkStatus();
}

absl::StatusOr<Ref<Batch>> BatchBuilder::Build() {
  if (messages_.empty()) {
    return Error(Reason::kNoMessages, "messages: a request needs at least 1 message",
                 {{"field", "messages"}, {"value", "0"}, {"limit", "1"}});
  }
  if (body_bytes_ > kMaxRequestBytes) return RequestTooLarge(body_bytes_);
  Ref<Batch> batch = Batch::Compose(messages_, plain_);
  batch->set_latest_delivery(latest_delivery_us_, latest_delivery_index_);
  if (!traced_) batch->set_contexts(Batch::Contexts::kNone);
  ClearMessages();
  return batch;
}

void BatchBuilder::Clear(Mode mode) {
  mode_ = mode;
  refusals_.clear();
  ClearMessages();
}

void BatchBuilder::ClearMessages() {
  messages_.clear();
  // Large ones are not worth keeping.
  constexpr size_t kMostKept = 64;
  if (scratch_.size() > kMostKept) scratch_.resize(kMostKept);
  scratch_used_ = 0;
  body_bytes_ = 0;
  plain_ = true;
  traced_ = false;
  latest_delivery_us_ = kDeliverAtOnce;
}

std::string* BatchBuilder::NextScratch() {
  constexpr size_t kMostCapacity = size_t{64} << 10;
  if (scratch_used_ == scratch_.size()) scratch_.emplace_back();
  std::string* scratch = &scratch_[scratch_used_++];
  scratch->clear();
  if (scratch->capacity() > kMostCapacity) scratch->shrink_to_fit();
  return scratch;
}

}  // namespace sluice
