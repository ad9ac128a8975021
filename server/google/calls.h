// What the services of google.pubsub.v1 do alike: begin and end calls in the words of the service.
//
// Thread rule: any thread.
#pragma once

#include <string>
#include <utility>

#include "core/engine/engine.h"
#include "server/google/texts.h"
#include "server/google/unknown_fields.h"
#include "server/paging.h"
#include "server/unary_call.h"

namespace sluice::server {

// What a call needs is asked by whoever begins it so.
inline UnaryFinish BeginGoogle(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                               grpc::ServerUnaryReactor* reactor) {
  return [finish = BeginUnary(context, rpc, call, reactor)](const absl::Status& status) { finish(texts::Told(status)); };
}

// Nothing when the caller may not, or asks for what this server does not know, and was told.
inline UnaryFinish BeginGoogle(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                               const google::protobuf::Message& request, grpc::ServerUnaryReactor* reactor) {
  UnaryFinish finish = BeginUnary(context, rpc, call, request, reactor);
  if (!finish) return nullptr;
  if (absl::Status status = CheckFieldsKnown(request); !status.ok()) {
    finish(status);
    return nullptr;
  }
  return [finish = std::move(finish)](const absl::Status& status) { finish(texts::Told(status)); };
}

template <class Answer>
grpc::ServerUnaryReactor* AnswerGoogle(ServiceContext& context, Rpc rpc, grpc::CallbackServerContext* call,
                                       const google::protobuf::Message& request, const Answer& answer) {
  return AnswerUnary(context, rpc, call, request, [&] {
    const absl::Status known = CheckFieldsKnown(request);
    return known.ok() ? texts::Told(answer()) : known;
  });
}

// What is known of a subscription's topic.
inline std::optional<TopicConfig> TopicOf(const Engine& engine, const SubscriptionConfig& config) {
  if (!config.topic) return std::nullopt;
  auto topic = engine.FindTopic(*config.topic);
  if (!topic.ok() || (*topic)->id() != config.topic_id) return std::nullopt;
  return (*topic)->config();
}

}  // namespace sluice::server
