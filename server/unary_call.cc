#include "server/unary_call.h"

#include <utility>

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

UnaryFinish BeginUnary(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                       const google::protobuf::Message& request, grpc::ServerUnaryReactor* reactor) {
  UnaryFinish finish = BeginUnary(context, rpc, reactor);
  Caller caller;
  if (absl::Status may = context.access.Authorise(call, rpc, request, &caller); !may.ok()) {
    finish(may);
    return nullptr;
  }
  if (caller.identity == nullptr || !NeedsOf(rpc).administrative) return finish;
  return [&context, rpc, caller = std::move(caller), finish = std::move(finish)](const absl::Status& status) {
    if (!status.ok()) context.access.ChangeFailed(caller, rpc, status);
    finish(status);
  };
}

grpc::ServerUnaryReactor* AnswerUnary(ServiceContext& context, Rpc rpc, grpc::CallbackServerContext* call,
                                      const google::protobuf::Message& request,
                                      const std::function<absl::Status()>& answer) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  if (const UnaryFinish finish = BeginUnary(context, rpc, *call, request, reactor)) finish(answer());
  return reactor;
}

}  // namespace sluice::server
