#include "client/cpp/stream.h"

#include <utility>

#include "client/cpp/status.h"
#include "core/base/mutex.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/client_callback.h"

namespace sluice::client {
namespace {

using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

// Belongs to gRPC from Start to OnDone. A hold keeps it from being done while writes may still be
// begun from outside; it is removed when the reading ends, from where on nothing is begun.
class GrpcStream final : public Stream,
                         public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<GrpcStream> {
 public:
  GrpcStream(const std::shared_ptr<grpc::Channel>& channel, std::string method,
             std::shared_ptr<StreamEvents> events)
      : method_(std::move(method)), stub_(channel), events_(std::move(events)) {
    stub_.PrepareBidiStreamingCall(&context_, method_, {}, this);
    AddHold();
  }

  void Start() override {
    self_ = shared_from_this();
    StartRead(&incoming_);
    StartCall();
  }

  void Write(const grpc::ByteBuffer& message) override {
    MutexLock lock(mu_);
    if (!writable_) return;
    outgoing_ = message;
    StartWrite(&outgoing_);
  }

  void CloseWrites() override {
    MutexLock lock(mu_);
    if (std::exchange(writable_, false)) StartWritesDone();
  }

  void Cancel() override { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (ok) {
      events_->OnMessage(incoming_);
      incoming_.Clear();
      return StartRead(&incoming_);
    }
    {
      MutexLock lock(mu_);
      writable_ = false;
    }
    RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    // When it is not ok, OnDone says why.
    if (ok) events_->OnWritten();
  }

  void OnDone(const grpc::Status& status) override {
    const auto self = std::move(self_);
    const auto events = std::move(events_);
    events->OnClosed(FromGrpc(status));
  }

 private:
  const std::string method_;
  Stub stub_;
  grpc::ClientContext context_;
  std::shared_ptr<StreamEvents> events_;
  // gRPC's reference.
  std::shared_ptr<GrpcStream> self_;

  // Belong to the read and the write that are pending.
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;

  Mutex mu_;
  bool writable_ GUARDED_BY(mu_) = true;
};

}  // namespace

StreamFactory GrpcStreams(std::shared_ptr<grpc::Channel> channel, std::string method) {
  return [channel = std::move(channel),
          method = std::move(method)](std::shared_ptr<StreamEvents> events) {
    return std::make_shared<GrpcStream>(channel, method, std::move(events));
  };
}

}  // namespace sluice::client
