#include "server/rpc/unary_call.h"

#include <utility>

#include "server/rpc/authorization.h"
#include "server/rpc/call_end.h"
#include "server/rpc/errors.h"

namespace sluice::server {

UnaryFinish BeginUnary(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                       grpc::ServerUnaryReactor* reactor) {
  context.rpcs.of(rpc).StartedUnary();
  return [&context, rpc, &call, reactor](const absl::Status& status) {
    CountRefusal(status, context.metrics.engine);
    reactor->Finish(EndUnary(context, rpc, call, status));
  };
}

UnaryFinish BeginUnary(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                       const google::protobuf::Message& request,
                       grpc::ServerUnaryReactor* reactor) {
  UnaryFinish finish = BeginUnary(context, rpc, call, reactor);
  Caller caller;
  if (absl::Status may = Authorize(context.access, call, rpc, request, &caller); !may.ok()) {
    finish(may);
    return nullptr;
  }
  if (caller.identity == nullptr || !EntryOf(rpc).access.administrative) return finish;
  return [&context, rpc, caller = std::move(caller),
          finish = std::move(finish)](const absl::Status& status) {
    if (!status.ok()) ChangeFailed(context.access, caller, rpc, status);
    finish(status);
  };
}

grpc::ServerUnaryReactor* AnswerUnary(ServiceContext& context, Rpc rpc,
                                      grpc::CallbackServerContext* call,
                                      const google::protobuf::Message& request,
                                      const std::function<absl::Status()>& answer) {
  return RunUnary(context, rpc, call, request,
                  [&](const UnaryFinish& finish) { finish(answer()); });
}

}  // namespace sluice::server
