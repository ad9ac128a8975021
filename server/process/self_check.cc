#include "server/process/self_check.h"

#include <memory>

#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::server {
namespace {

// HealthCheckRequest{service: "liveness"} of grpc.health.v1: field 1, 8 bytes.
constexpr char kLiveness[] = "\x0a\x08liveness";

}  // namespace

bool AnswersHealth(grpc::Server& server, absl::Duration timeout) {
  grpc::GenericStub stub(server.InProcessChannel({}));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  const grpc::Slice slice(kLiveness, sizeof kLiveness - 1);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                          grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool finished = false;
  // The call has a deadline, so this ends.
  queue.Next(&tag, &finished);
  queue.Shutdown();
  while (queue.Next(&tag, &finished)) {
  }
  return status.ok();
}

}  // namespace sluice::server
