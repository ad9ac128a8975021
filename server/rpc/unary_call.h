// What every unary call does with its beginning and its end: count it, ask whether the caller may,
// and answer in the terms of gRPC.
//
//   Reactor* reactor = call->DefaultReactor();                             // once for a call
//   auto finish = BeginUnary(context, Rpc::kCreateTopic, *call, *request, reactor);
//   if (!finish) return reactor;                                           // the caller may not, and was told
//   context.engine.CreateTopic(config, [finish](const auto& made) { finish(made.status()); });
//
// Thread rule: any thread; the function that ends a call is called once.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

using UnaryFinish = std::function<void(const absl::Status&)>;

// Counts a call's start, and gives the function that ends it. What it needs is asked by whoever
// begins it so.
UnaryFinish BeginUnary(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                       grpc::ServerUnaryReactor* reactor);

// The same, when the caller may (server/security/auth/rights.h); nothing when they may not: then
// the call has ended.
UnaryFinish BeginUnary(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                       const google::protobuf::Message& request, grpc::ServerUnaryReactor* reactor);

// For calls that answer later: operation(finish), unless the caller may not.
template <class Operation>
grpc::ServerUnaryReactor* RunUnary(ServiceContext& context, Rpc rpc,
                                   grpc::CallbackServerContext* call,
                                   const google::protobuf::Message& request,
                                   const Operation& operation) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  if (const UnaryFinish finish = BeginUnary(context, rpc, *call, request, reactor))
    operation(finish);
  return reactor;
}

// For calls that answer at once. `answer` is not called when the caller may not.
grpc::ServerUnaryReactor* AnswerUnary(ServiceContext& context, Rpc rpc,
                                      grpc::CallbackServerContext* call,
                                      const google::protobuf::Message& request,
                                      const std::function<absl::Status()>& answer);

}  // namespace sluice::server
