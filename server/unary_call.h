// What every unary call does with its beginning and its end: count it, and answer in the terms of gRPC.
//
//   auto finish = BeginUnary(context, Rpc::kCreateTopic, reactor);
//   context.engine.CreateTopic(config, [finish](const auto& made) { finish(made.status()); });
//
// Thread rule: any thread; the function that ends a call is called once.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "grpcpp/support/server_callback.h"
#include "server/service_context.h"

namespace sluice::server {

using UnaryFinish = std::function<void(const absl::Status&)>;

// Counts a call's start, and gives the function that ends it.
UnaryFinish BeginUnary(ServiceContext& context, Rpc rpc, grpc::ServerUnaryReactor* reactor);

// For calls that answer at once.
grpc::ServerUnaryReactor* AnswerUnary(ServiceContext& context, Rpc rpc, grpc::CallbackServerContext* call,
                                      const absl::Status& status);

}  // namespace sluice::server
