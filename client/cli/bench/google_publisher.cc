#include "client/cli/bench/google_publisher.h"

#include <algorithm>
#include <utility>

#include "client/cpp/bytes.h"
#include "client/cpp/status.h"
#include "core/message/wire.h"
#include "google/pubsub/v1/pubsub.pb.h"

namespace sluice::cli {
namespace {

std::string TopicField(std::string_view topic) {
  std::string field;
  AppendBytesField(&field, google::pubsub::v1::PublishRequest::kTopicFieldNumber, topic);
  return field;
}

// Ids in a PublishResponse.
size_t CountIds(const grpc::ByteBuffer& response) {
  const client::ContiguousBytes bytes(response);
  WireReader in(bytes.view());
  WireField field;
  size_t count = 0;
  while (in.Next(&field)) {
    count += field.number == google::pubsub::v1::PublishResponse::kMessageIdsFieldNumber ? 1 : 0;
  }
  return in.ok() ? count : 0;
}

}  // namespace

GooglePublisher::GooglePublisher(std::shared_ptr<grpc::Channel> channel, const LoadOptions& options,
                                 size_t number, Tally* tally)
    : channel_(std::move(channel)),
      options_(options),
      template_(options, number, TopicField(options.TopicOf(0))),
      tally_(*tally),
      stub_(channel_),
      slots_(options.inflight),
      answers_(options.paced, [this](void* tag, bool) { Answered(static_cast<Slot*>(tag)); }) {
  for (Slot& slot : slots_) {
    slot.bytes = template_.Copy();
    free_.push_back(&slot);
  }
}

void GooglePublisher::Send(const Batch& batch) {
  static const std::string kMethod = "/google.pubsub.v1.Publisher/Publish";
  answers_.WaitUntil(mu_, changed_, Instant::Never(), [&] {
    mu_.AssertHeld();
    return !free_.empty() && KeysAreFree(batch);
  });
  Slot* slot = nullptr;
  {
    MutexLock lock(mu_);
    slot = free_.back();
    free_.pop_back();
    in_flight_.push_back(batch.first);
  }
  slot->batch = batch;
  template_.Fill(batch, &slot->bytes);
  // A call lives in memory of its context.
  slot->call = nullptr;
  slot->context.emplace();
  slot->call = stub_.PrepareUnaryCall(&*slot->context, kMethod, grpc::ByteBuffer(&slot->bytes, 1),
                                      answers_.queue());
  slot->call->StartCall();
  slot->call->Finish(&slot->response, &slot->status, slot);
}

bool GooglePublisher::KeysAreFree(const Batch& batch) const {
  if (!options_.ordered) return true;
  return std::none_of(in_flight_.begin(), in_flight_.end(), [&](uint64_t first) {
    return first + options_.keys < batch.first + batch.count;
  });
}

void GooglePublisher::Answered(Slot* slot) {
  if (!slot->status.ok()) {
    tally_.Refused(slot->batch, client::FromGrpc(slot->status));
  } else if (CountIds(slot->response) != slot->batch.count) {
    tally_.Refused(
        slot->batch,
        absl::InternalError("the server answered with another number of ids than of messages"));
  } else {
    tally_.Accepted(slot->batch);
  }
  MutexLock lock(mu_);
  free_.push_back(slot);
  std::erase(in_flight_, slot->batch.first);
  changed_.NotifyAll();
}

void GooglePublisher::Close() {
  const auto idle = [this] {
    mu_.AssertHeld();
    return in_flight_.empty();
  };
  if (answers_.WaitUntil(mu_, changed_, SystemClock().Now() + absl::Seconds(30), idle)) return;
  for (Slot& slot : slots_) {
    if (slot.context) slot.context->TryCancel();
  }
  answers_.WaitUntil(mu_, changed_, Instant::Never(), idle);
}

}  // namespace sluice::cli
