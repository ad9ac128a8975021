#include "server/unary_call.h"

#include "server/errors.h"

namespace sluice::server {

UnaryFinish BeginUnary(ServiceContext& context, Rpc rpc, grpc::ServerUnaryReactor* reactor) {
  context.rpcs.of(rpc).StartedUnary();
  return [&context, rpc, reactor](const absl::Status& status) {
    CountRefusal(status, context.metrics.engine);
    const grpc::Status answer = ToGrpc(status);
    context.rpcs.of(rpc).HandledUnary(answer.error_code());
    reactor->Finish(answer);
  };
}

grpc::ServerUnaryReactor* AnswerUnary(ServiceContext& context, Rpc rpc, grpc::CallbackServerContext* call,
                                      const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  BeginUnary(context, rpc, reactor)(status);
  return reactor;
}

}  // namespace sluice::server
