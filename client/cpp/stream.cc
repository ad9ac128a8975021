#include "client/cpp/stream.h"

#include <utility>

#include "client/cpp/connection.h"
#include "core/base/mutex.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/client_callback.h"

namespace sluice::client {
namespace {

// Belongs to gRPC until OnDone. A hold keeps it from being done while writes may still be begun from outside; it is
// removed once, when the reading ends.
class GrpcStream final : public Stream,
                         public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<GrpcStream> {
 public:
  GrpcStream(std::shared_ptr<Connection> connection, std::shared_ptr<StreamEvents> events)
      : connection_(std::move(connection)), stub_(connection_->channel()), events_(std::move(events)) {}

  void Start(const std::string& method) {
    self_ = shared_from_this();
    stub_.PrepareBidiStreamingCall(&context_, method, {}, this);
    AddHold();
    StartRead(&incoming_);
    StartCall();
  }

  void Write(const std::string& bytes) override {
    MutexLock lock(mu_);
    if (!writable_) return;
    grpc::Slice slice(bytes);
    outgoing_ = grpc::ByteBuffer(&slice, 1);
    StartWrite(&outgoing_);
  }
  void CloseWrites() override {
    MutexLock lock(mu_);
    if (!std::exchange(writable_, false)) return;
    StartWritesDone();
  }
  void Cancel() override { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (ok) {
      {
        MutexLock lock(events_mu_);
        events_->OnMessage(incoming_);
      }
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
    if (!ok) return;  // OnDone says why
    MutexLock lock(events_mu_);
    events_->OnWritten();
  }
  void OnDone(const grpc::Status& status) override {
    events_->OnClosed(FromGrpc(status));
    auto self = std::move(self_);
  }

 private:
  const std::shared_ptr<Connection> connection_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  const std::shared_ptr<StreamEvents> events_;
  std::shared_ptr<GrpcStream> self_;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;

  // One event at a time.
  Mutex events_mu_;
  Mutex mu_;
  bool writable_ GUARDED_BY(mu_) = true;
};

}  // namespace

StreamFactory GrpcStreams(std::shared_ptr<Connection> connection, std::string method) {
  return [connection = std::move(connection), method = std::move(method)](std::shared_ptr<StreamEvents> events) {
    auto stream = std::make_shared<GrpcStream>(connection, std::move(events));
    stream->Start(method);
    return stream;
  };
}

}  // namespace sluice::client
