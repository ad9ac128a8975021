// A publisher of sluice.v1: one Publish stream, a number of requests in flight. Requests are made
// once (publish_template.h), and answered in their order. A request that fails is not repeated: the
// benchmark ends with the error.
//
// Thread rule: Send and Close are for one thread.
#pragma once

#include <memory>
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

class NativePublisher final : public LoadPublisher {
 public:
  NativePublisher(std::shared_ptr<grpc::Channel> channel, const LoadOptions& options, size_t number,
                  Tally* tally);

  void Send(const Batch& batch) override EXCLUDES(mu_);
  void Close() override EXCLUDES(mu_);

 private:
  // What ends on the stream.
  enum class Event : intptr_t { kStarted, kWritten, kRead, kHalfClosed, kEnded };
  static void* Tag(Event event) { return reinterpret_cast<void*>(event); }

  // A request in flight, and what the next one uses again. Belongs to the sender before it is sent
  // and after it is answered.
  struct Slot {
    Batch batch;
    grpc::Slice bytes;
  };

  void Happened(Event event, bool ok) EXCLUDES(mu_);
  // Tells the tally of the results in response_.
  void TakeResults() EXCLUDES(mu_);
  void Ended() EXCLUDES(mu_);
  void Write(const grpc::ByteBuffer& request) EXCLUDES(mu_);

  const std::shared_ptr<grpc::Channel> channel_;
  const LoadOptions& options_;
  const PublishTemplate template_;
  Tally& tally_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  // Used in turn: request number n has slots_[n % slots_.size()].
  std::vector<Slot> slots_;

  // Belong to the read that is pending, and to the end.
  grpc::ByteBuffer response_;
  grpc::Status status_;

  Mutex mu_;
  CondVar changed_;
  uint64_t sent_ GUARDED_BY(mu_) = 0;
  uint64_t answered_ GUARDED_BY(mu_) = 0;
  // The stream's start counts as a write.
  bool writing_ GUARDED_BY(mu_) = true;
  bool closing_ GUARDED_BY(mu_) = false;
  bool ended_ GUARDED_BY(mu_) = false;

  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  // Last, so that what is under way ends before the rest goes.
  Completions completions_;
};

}  // namespace sluice::cli
