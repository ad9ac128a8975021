// One Publish stream. Any number of batches are in flight, results go out in the order of the
// requests, as many as there are in one write.
//
//   kAwaitingTopic --first request names a topic--> kOpen --the client is done, or an error--> kClosing
//   kClosing --nothing in flight, nothing being written--> Finish --OnDone--> deleted
//
// Backpressure: with too much in flight nothing is read until results have come.
//
// Thread rule: gRPC runs reactions of one stream in parallel, results come from the store's
// threads: one mutex guards all. The stream and each batch in flight hold a reference, so that
// whoever answers last finds a session.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "core/message/span_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/api/native/wire.h"
#include "server/rpc/admit_publish.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

class ActiveSpan;

class PublishSession final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                             public SessionHandle,
                             public std::enable_shared_from_this<PublishSession> {
 public:
  // Begins to read; the session belongs to gRPC until OnDone.
  static PublishSession* Start(ServiceContext& context, SessionList::Slot slot,
                               const grpc::CallbackServerContext& call, Caller caller);

  PublishSession(ServiceContext& context, SessionList::Slot slot,
                 const grpc::CallbackServerContext& call, Caller caller);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // The server ends the stream.
  void End(const absl::Status& why) override { Close(why); }

 private:
  enum class State { kAwaitingTopic, kOpen, kClosing };

  // The answer to one batch; in the order of the requests.
  struct Result {
    uint64_t batch_id = 0;
    bool ready = false;
    Published published;
    absl::Status error;
    std::vector<BatchBuilder::Refusal> refusals;
    size_t bytes = 0;
    std::shared_ptr<ActiveSpan> span;
  };

  // Handles one request; an error ends the stream.
  absl::Status Handle(const PublishScan& scan) EXCLUDES(mu_);
  absl::Status BindTopic(std::string_view name) EXCLUDES(mu_);
  absl::Status BindProducer(const PublishScan& scan, bool first);
  absl::StatusOr<Ref<Batch>> MakeBatch(const PublishScan& scan);
  void Answer(uint64_t sequence, absl::StatusOr<Published> published) EXCLUDES(mu_);
  void Close(const absl::Status& why) EXCLUDES(mu_);
  // Starts whatever can be started now: a write of ready results, a read, the end.
  void Advance() EXCLUDES(mu_);
  bool TakeReady(v1::PublishResponse* response) REQUIRES(mu_);

  ServiceContext& context_;
  const SessionList::Slot slot_;
  const grpc::CallbackServerContext& call_;
  const Caller caller_;
  // Of the call.
  const Instant deadline_;
  const std::optional<SpanContext> trace_;
  // The stream's reference.
  std::shared_ptr<PublishSession> self_;

  // Belong to the read that is being handled.
  grpc::ByteBuffer request_;
  std::vector<grpc::Slice> slices_;
  std::string flat_;
  PublishScan scan_;
  BatchBuilder builder_;
  // The stream's producer; its id is empty when batches are not numbered.
  ProducerTag producer_;
  // Set by the first request.
  std::shared_ptr<Topic> topic_;
  TopicName topic_name_;

  // Belongs to the write that is pending.
  grpc::ByteBuffer response_;

  Mutex mu_{LockRank::kSession};
  State state_ GUARDED_BY(mu_) = State::kAwaitingTopic;
  absl::Status end_ GUARDED_BY(mu_);
  std::deque<Result> results_ GUARDED_BY(mu_);
  // The sequence of results_.front().
  uint64_t first_sequence_ GUARDED_BY(mu_) = 0;
  size_t unready_ GUARDED_BY(mu_) = 0;
  size_t bytes_in_flight_ GUARDED_BY(mu_) = 0;
  bool read_pending_ GUARDED_BY(mu_) = true;
  bool write_pending_ GUARDED_BY(mu_) = false;
  // The peer is gone: what is ready need not be written.
  bool broken_ GUARDED_BY(mu_) = false;
  bool finished_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
