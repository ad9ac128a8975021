#include "server/api/native/publish_session.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/message/limits.h"
#include "fmt/format.h"
#include "server/api/native/publish_request.h"
#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"

namespace sluice::server {
namespace {

// Batches without a written result on one stream, and their bytes until they are stored; beyond
// that nothing is read.
constexpr size_t kMaxBatchesInFlight = 1024;
constexpr size_t kMaxBytesInFlight = size_t{64} << 20;

// After larger requests a stream lets go of the room it took for them.
constexpr size_t kKeptBytes = size_t{256} << 10;

}  // namespace

PublishSession::PublishSession(ServiceContext& context, SessionList::Slot slot,
                               const grpc::CallbackServerContext& call, Caller caller)
    : context_(context),
      slot_(slot),
      call_(call),
      caller_(std::move(caller)),
      deadline_(DeadlineOf(call, context.engine.clock())),
      trace_(CallContext(context.tracer, call)) {}

PublishSession* PublishSession::Start(ServiceContext& context, SessionList::Slot slot,
                                      const grpc::CallbackServerContext& call, Caller caller) {
  auto session = std::make_shared<PublishSession>(context, slot, call, std::move(caller));
  session->self_ = session;
  context.rpcs.of(Rpc::kPublish).started.Add();
  context.rpcs.publish_streams.Add(1);
  session->StartRead(&session->request_);
  context.sessions.Join(slot, session.get());
  return session.get();
}

void PublishSession::OnReadDone(bool ok) {
  if (!ok) {
    {
      MutexLock lock(mu_);
      read_pending_ = false;
    }
    return Close(absl::OkStatus());
  }
  context_.rpcs.of(Rpc::kPublish).received.Add();
  absl::Status status = ScanPublish(Flatten(request_, &slices_, &flat_), &scan_);
  if (status.ok()) status = Handle(scan_);
  slices_.clear();
  if (request_.Length() > kKeptBytes) {
    flat_ = {};
    builder_ = {};
  }
  request_.Clear();
  {
    MutexLock lock(mu_);
    read_pending_ = false;
  }
  if (!status.ok()) {
    CountRefusal(status, context_.metrics.engine);
    return Close(status);
  }
  Advance();
}

absl::Status PublishSession::BindTopic(std::string_view name) {
  {
    MutexLock lock(mu_);
    if (state_ == State::kClosing) return end_;
    if (topic_ != nullptr) {
      if (name.empty() || name == topic_name_.full()) return absl::OkStatus();
      return Error(
          Reason::kTargetChanged,
          fmt::format("topic: this stream belongs to {}; open another one for another topic",
                      topic_name_.full()),
          {{"field", "topic"}, {"limit", topic_name_.full()}});
    }
  }
  if (name.empty()) {
    return Error(Reason::kMissingTarget, "topic: the first request of a stream must name the topic",
                 {{"field", "topic"}, {"value", ""}});
  }
  absl::Status may =
      context_.AllowStream(slot_, caller_, Rpc::kPublish, Right::kTopicsPublish, std::string(name));
  if (!may.ok()) return may;
  auto parsed = TopicName::Parse(name);
  if (!parsed.ok()) return parsed.status();
  auto topic = context_.engine.FindTopic(*parsed);
  if (!topic.ok()) return topic.status();
  MutexLock lock(mu_);
  if (state_ == State::kClosing) return end_;
  topic_ = *std::move(topic);
  topic_name_ = *std::move(parsed);
  state_ = State::kOpen;
  return absl::OkStatus();
}

absl::Status PublishSession::BindProducer(const PublishScan& scan, bool first) {
  if (first) {
    if (scan.producer_id.size() > kMaxProducerIdBytes) {
      return Error(Reason::kInvalidProducer,
                   fmt::format("producer_id: {} bytes, but it must be at most {}",
                               scan.producer_id.size(), kMaxProducerIdBytes),
                   {{"field", "producer_id"},
                    {"value", fmt::format("{} bytes", scan.producer_id.size())},
                    {"limit", std::to_string(kMaxProducerIdBytes)}});
    }
    if (!IsValidUtf8(scan.producer_id)) {
      return Error(Reason::kInvalidUtf8, "producer_id: not UTF-8", {{"field", "producer_id"}});
    }
    producer_.id = scan.producer_id;
    producer_.epoch = scan.producer_epoch;
    return absl::OkStatus();
  }
  if (scan.producer_id.empty() || scan.producer_id == producer_.id) return absl::OkStatus();
  return Error(
      Reason::kTargetChanged,
      fmt::format(
          "producer_id: this stream belongs to \"{}\"; open another one for another producer",
          producer_.id),
      {{"field", "producer_id"}, {"limit", producer_.id}});
}

absl::StatusOr<Ref<Batch>> PublishSession::MakeBatch(const PublishScan& scan) {
  if (!producer_.id.empty() && scan.sequence == 0) {
    return Error(Reason::kInvalidProducer,
                 "sequence: 0, but with a producer_id it must be 1 or more",
                 {{"field", "sequence"}, {"value", "0"}, {"limit", "1"}});
  }
  if (!producer_.id.empty() && scan.mode == v1::PUBLISH_MODE_PARTIAL) {
    return Error(Reason::kInvalidProducer,
                 "mode: partial, but with a producer_id a batch is stored whole or not at all: an "
                 "answer given again could "
                 "not name what failed",
                 {{"field", "mode"},
                  {"value", "PUBLISH_MODE_PARTIAL"},
                  {"limit", "PUBLISH_MODE_ALL_OR_NOTHING"}});
  }
  auto batch = BuildBatch(scan, &builder_);
  if (!batch.ok() || !*batch) return batch;
  if (!producer_.id.empty()) (*batch)->set_producer({producer_.id, producer_.epoch, scan.sequence});
  const Clock& clock = context_.engine.clock();
  (*batch)->set_deadline(scan.timeout ? std::min(deadline_, clock.Now() + *scan.timeout)
                                      : deadline_);
  return batch;
}

absl::Status PublishSession::Handle(const PublishScan& scan) {
  bool first = false;
  {
    MutexLock lock(mu_);
    first = state_ == State::kAwaitingTopic;
  }
  if (absl::Status status = BindTopic(scan.topic); !status.ok()) return status;
  if (absl::Status status = BindProducer(scan, first); !status.ok()) return status;
  // A first request may just open the stream.
  if (first && scan.messages.empty()) return absl::OkStatus();
  auto batch = MakeBatch(scan);
  auto span = BeginPublish(context_.tracer, topic_name_.full(), scan.messages, BatchOf(batch),
                           trace_, CallKind::kStream);
  uint64_t sequence = 0;
  {
    MutexLock lock(mu_);
    sequence = first_sequence_ + results_.size();
    Result& result = results_.emplace_back();
    result.batch_id = scan.batch_id;
    result.bytes = batch.ok() && *batch ? (*batch)->memory_bytes() : 0;
    if (batch.ok()) result.refusals = builder_.refusals();
    result.span = std::move(span);
    ++unready_;
    bytes_in_flight_ += result.bytes;
  }
  if (!batch.ok()) {
    Answer(sequence, batch.status());
  } else if (!*batch) {
    Answer(sequence, Published{});
  } else {
    const auto publisher = reinterpret_cast<uintptr_t>(this);
    AdmitAndPublish(context_, caller_, topic_name_, topic_, publisher, *std::move(batch),
                    [self = shared_from_this(), sequence](absl::StatusOr<Published> published) {
                      self->Answer(sequence, std::move(published));
                    });
  }
  return absl::OkStatus();
}

void PublishSession::Answer(uint64_t sequence, absl::StatusOr<Published> published) {
  {
    MutexLock lock(mu_);
    Result& result = results_[sequence - first_sequence_];
    result.ready = true;
    EndPublish(std::exchange(result.span, nullptr), published);
    if (published.ok()) {
      result.published = *published;
    } else {
      result.error = published.status();
      CountRefusal(result.error, context_.metrics.engine);
    }
    --unready_;
    bytes_in_flight_ -= result.bytes;
    // Somebody else answers first, or takes this along.
    if (sequence != first_sequence_ && !broken_ && state_ != State::kClosing) return;
  }
  Advance();
}

void PublishSession::Close(const absl::Status& why) {
  {
    MutexLock lock(mu_);
    if (state_ != State::kClosing) {
      state_ = State::kClosing;
      end_ = why;
    }
  }
  Advance();
}

bool PublishSession::TakeReady(v1::PublishResponse* response) {
  while (!results_.empty() && results_.front().ready) {
    const Result& result = results_.front();
    v1::PublishResult* out = response->add_results();
    out->set_batch_id(result.batch_id);
    if (result.error.ok()) {
      out->set_first_message_id(result.published.first.value());
      out->set_count(result.published.count);
      if (!result.refusals.empty())
        SetFailures(result.refusals, context_.metrics.engine, out->mutable_failures());
    } else {
      *out->mutable_error() = ToProto(result.error);
    }
    results_.pop_front();
    ++first_sequence_;
  }
  return response->results_size() > 0;
}

void PublishSession::Advance() {
  bool read = false;
  bool write = false;
  bool finish = false;
  absl::Status end;
  {
    MutexLock lock(mu_);
    if (finished_) return;
    if (!write_pending_ && !broken_) {
      v1::PublishResponse response;
      if (TakeReady(&response)) {
        response_ = ToBuffer(response);
        write_pending_ = write = true;
      }
    }
    if (state_ == State::kClosing) {
      finish = unready_ == 0 && !write_pending_ && (results_.empty() || broken_);
      finished_ = finish;
      end = end_;
    } else if (!read_pending_ && results_.size() < kMaxBatchesInFlight &&
               bytes_in_flight_ < kMaxBytesInFlight) {
      read_pending_ = read = true;
    }
    // Under the lock: once it is released another thread may see the write end and finish the
    // stream.
    if (write) StartWrite(&response_);
    if (read) StartRead(&request_);
  }
  if (!finish) return;
  Finish(EndCall(context_, Rpc::kPublish, call_, end));
}

void PublishSession::OnWriteDone(bool ok) {
  {
    MutexLock lock(mu_);
    write_pending_ = false;
    broken_ |= !ok;
  }
  context_.rpcs.of(Rpc::kPublish).sent.Add();
  ok ? Advance() : Close(absl::CancelledError("the client is gone"));
}

void PublishSession::OnCancel() {
  {
    MutexLock lock(mu_);
    broken_ = true;
  }
  Close(absl::CancelledError("the client is gone"));
}

void PublishSession::OnDone() {
  context_.rpcs.publish_streams.Add(-1);
  context_.sessions.Leave(slot_);
  self_ = nullptr;
}

}  // namespace sluice::server
