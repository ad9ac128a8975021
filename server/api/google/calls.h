// What the services of google.pubsub.v1 do alike: begin and end calls in the words of the service.
//
// Thread rule: any thread.
#pragma once

#include <string>
#include <utility>

#include "core/engine/engine.h"
#include "server/api/google/texts.h"
#include "server/api/google/unknown_fields.h"
#include "server/rpc/paging.h"
#include "server/rpc/unary_call.h"

namespace sluice::server {

// What a call needs is asked by whoever begins it so.
inline UnaryFinish BeginGoogle(ServiceContext& context, Rpc rpc,
                               const grpc::CallbackServerContext& call,
                               grpc::ServerUnaryReactor* reactor) {
  return [finish = BeginUnary(context, rpc, call, reactor)](const absl::Status& status) {
    finish(texts::Told(status));
  };
}

// For calls that answer later: operation(finish).
template <class Operation>
grpc::ServerUnaryReactor* RunGoogle(ServiceContext& context, Rpc rpc,
                                    grpc::CallbackServerContext* call,
                                    const google::protobuf::Message& request,
                                    const Operation& operation) {
  return RunUnary(context, rpc, call, request, [&](const UnaryFinish& finish) {
    if (absl::Status known = CheckFieldsKnown(request); !known.ok()) return finish(known);
    operation([finish](const absl::Status& status) { finish(texts::Told(status)); });
  });
}

template <class Answer>
grpc::ServerUnaryReactor* AnswerGoogle(ServiceContext& context, Rpc rpc,
                                       grpc::CallbackServerContext* call,
                                       const google::protobuf::Message& request,
                                       const Answer& answer) {
  return RunGoogle(context, rpc, call, request,
                   [&](const UnaryFinish& finish) { finish(answer()); });
}

}  // namespace sluice::server
