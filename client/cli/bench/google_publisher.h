// A publisher of google.pubsub.v1: unary Publish requests, a number of them in flight. A request
// that fails is not repeated: the benchmark ends with the error.
//
// Thread rule: Send and Close are for one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/bench/completions.h"
#include "client/cli/bench/load.h"
#include "client/cli/bench/publish_template.h"
#include "core/base/mutex.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::cli {

class GooglePublisher final : public LoadPublisher {
 public:
  GooglePublisher(std::shared_ptr<grpc::Channel> channel, const LoadOptions& options, size_t number,
                  Tally* tally);

  void Send(const Batch& batch) override EXCLUDES(mu_);
  void Close() override EXCLUDES(mu_);

 private:
  // A request in flight, and what the next one uses again. Belongs to the sender while it is free,
  // and then to the call.
  struct Slot {
    Batch batch;
    grpc::Slice bytes;
    grpc::ByteBuffer response;
    grpc::Status status;
    std::optional<grpc::ClientContext> context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
  };

  // Requests overtake each other. As the clients of this API do it, a message with an ordering key
  // is not sent before the one before it with that key was answered.
  bool KeysAreFree(const Batch& batch) const REQUIRES(mu_);
  void Answered(Slot* slot) EXCLUDES(mu_);
  const std::shared_ptr<grpc::Channel> channel_;
  const LoadOptions& options_;
  const PublishTemplate template_;
  Tally& tally_;
  grpc::GenericStub stub_;
  std::vector<Slot> slots_;

  Mutex mu_;
  CondVar changed_;
  std::vector<Slot*> free_ GUARDED_BY(mu_);
  // The first sequences of what is in flight.
  std::vector<uint64_t> in_flight_ GUARDED_BY(mu_);

  // Last, so that what is under way ends before the slots go.
  Completions answers_;
};

}  // namespace sluice::cli
