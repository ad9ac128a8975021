// A publisher of google.pubsub.v1: unary Publish requests, a number of them in flight. A request that fails is not repeated:
// the benchmark ends with the error.
//
// As fast as it goes, one thread does it all: it sends, and when nothing may be sent it takes answers, without a word to
// another thread. At a rate the sender sleeps between the batches, and a thread of its own takes the answers meanwhile.
//
// Thread rule: Send and Close are for one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/cli/bench/google_request.h"
#include "client/cli/bench/load.h"
#include "core/base/mutex.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::cli {

class GooglePublisher final : public LoadPublisher {
 public:
  GooglePublisher(std::shared_ptr<grpc::Channel> channel, const LoadOptions& options, size_t number, Tally* tally);
  ~GooglePublisher() override;

  void Send(const Batch& batch) override EXCLUDES(mu_);
  void Close() override EXCLUDES(mu_);

 private:
  // A request in flight, and what the next one uses again. Belongs to the sender while it is free, and then to the call.
  struct Slot {
    Batch batch;
    grpc::Slice bytes;
    grpc::ByteBuffer response;
    grpc::Status status;
    std::optional<grpc::ClientContext> context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
  };

  // Requests overtake each other. As the clients of this API do it, a message with an ordering key is not sent before the
  // one before it with that key was answered.
  bool KeysAreFree(const Batch& batch) const REQUIRES(mu_);
  // Waits for one answer; false when there was none by then, or when none can come any more.
  bool TakeAnswer(Instant deadline) EXCLUDES(mu_);
  // Until the queue is shut down.
  void TakeAnswers() EXCLUDES(mu_);
  void Answered(Slot* slot) EXCLUDES(mu_);
  // Until enough was answered for `done`; false when it was not by then.
  template <class Done>
  bool WaitUntil(Instant deadline, Done&& done) EXCLUDES(mu_);

  const std::shared_ptr<grpc::Channel> channel_;
  const LoadOptions& options_;
  const PublishTemplate template_;
  Tally& tally_;
  grpc::GenericStub stub_;
  grpc::CompletionQueue answers_;
  std::vector<Slot> slots_;
  // At a rate only.
  std::thread taker_;

  Mutex mu_;
  CondVar changed_;
  std::vector<Slot*> free_ GUARDED_BY(mu_);
  // The first sequences of what is in flight.
  std::vector<uint64_t> in_flight_ GUARDED_BY(mu_);
};

}  // namespace sluice::cli
