// A publish stream that does nothing: sluice.v1 as far as `sluice bench --publish-only` needs it,
// where each request's messages are counted and each batch is answered: typed protobuf, no checks,
// no store. What it reaches is what a stream of gRPC carries on a machine; figures of sluiced's
// publish stream are ratios to it.
//
//   counting_stream        # prints its port, and goes on until it is killed
#include <cstdio>
#include <mutex>

#include "grpcpp/server_builder.h"
#include "sluice/v1/admin.grpc.pb.h"
#include "sluice/v1/pubsub.grpc.pb.h"

namespace v1 = sluice::v1;
using Call = grpc::CallbackServerContext;

constexpr int kMaxReceiveBytes = 11'000'000;

// Reads all the time; what was counted while a write was under way is answered with the next one.
class Stream final : public grpc::ServerBidiReactor<v1::PublishRequest, v1::PublishResponse> {
 public:
  Stream() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    std::unique_lock lock(mu_);
    if (!ok) {
      ended_ = true;
      if (writing_) return;
      lock.unlock();
      return Finish(grpc::Status::OK);
    }
    // A first request may just open the stream.
    if (request_.messages_size() > 0) Count();
    // Under the lock: results keep the order of the requests.
    StartRead(&request_);
    Write();
  }
  void OnWriteDone(bool) override {
    std::unique_lock lock(mu_);
    writing_ = false;
    Write();
    if (!ended_ || writing_) return;
    lock.unlock();
    Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  // REQUIRES: mu_ is held, for both.
  void Count() {
    v1::PublishResult* result = counted_.add_results();
    result->set_batch_id(request_.batch_id());
    result->set_first_message_id(next_id_);
    result->set_count(static_cast<uint32_t>(request_.messages_size()));
    next_id_ += result->count();
  }
  void Write() {
    if (writing_ || counted_.results().empty()) return;
    writing_ = true;
    written_.Clear();
    written_.Swap(&counted_);
    StartWrite(&written_);
  }

  v1::PublishRequest request_;
  v1::PublishResponse written_;

  std::mutex mu_;
  v1::PublishResponse counted_;
  uint64_t next_id_ = 1;
  bool writing_ = false;
  bool ended_ = false;
};

class PubSub final : public v1::PubSub::CallbackService {
  grpc::ServerBidiReactor<v1::PublishRequest, v1::PublishResponse>* Publish(Call*) override {
    return new Stream;
  }
};

grpc::ServerUnaryReactor* Ok(Call* call) {
  auto* reactor = call->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

// Anything may be made and deleted.
class Admin final : public v1::Admin::CallbackService {
  grpc::ServerUnaryReactor* CreateTopic(Call* call, const v1::CreateTopicRequest*,
                                        v1::CreateTopicResponse*) override {
    return Ok(call);
  }
  grpc::ServerUnaryReactor* DeleteTopic(Call* call, const v1::DeleteTopicRequest*,
                                        v1::DeleteTopicResponse*) override {
    return Ok(call);
  }
  grpc::ServerUnaryReactor* CreateSubscription(Call* call, const v1::CreateSubscriptionRequest*,
                                               v1::CreateSubscriptionResponse*) override {
    return Ok(call);
  }
  grpc::ServerUnaryReactor* DeleteSubscription(Call* call, const v1::DeleteSubscriptionRequest*,
                                               v1::DeleteSubscriptionResponse*) override {
    return Ok(call);
  }
};

int main() {
  PubSub pubsub;
  Admin admin;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.RegisterService(&pubsub);
  builder.RegisterService(&admin);
  const auto server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  server->Wait();
}
