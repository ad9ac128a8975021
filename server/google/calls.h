// What the services of google.pubsub.v1 do alike: begin and end calls in the words of the service, and list by pages.
//
// Thread rule: any thread.
#pragma once

#include <string>
#include <utility>

#include "core/engine/engine.h"
#include "server/google/texts.h"
#include "server/native/paging.h"
#include "server/unary_call.h"

namespace sluice::server {

inline UnaryFinish BeginGoogle(ServiceContext& context, Rpc rpc, grpc::ServerUnaryReactor* reactor) {
  return [finish = BeginUnary(context, rpc, reactor)](const absl::Status& status) { finish(texts::Told(status)); };
}

inline grpc::ServerUnaryReactor* AnswerGoogle(ServiceContext& context, Rpc rpc, grpc::CallbackServerContext* call,
                                              const absl::Status& status) {
  return AnswerUnary(context, rpc, call, texts::Told(status));
}

// One page of the list called `list_name`: the request's size and token, and items(after, limit) in the order of their names.
// add(item) puts one into the response and returns its name; next_page_token is set where there are more.
template <class Request, class Response, class Items, class Add>
absl::Status ListPage(const std::string& list_name, const Request& request, Response* response, Items&& items, Add&& add) {
  auto page = ParsePage(list_name, request.page_size(), request.page_token());
  if (!page.ok()) return page.status();
  size_t count = 0;
  std::string last;
  for (const auto& item : items(page->after, page->size + 1)) {
    if (count++ == page->size) {
      response->set_next_page_token(PageToken(list_name, last));
      break;
    }
    last = add(item);
  }
  return absl::OkStatus();
}

// What is known of a subscription's topic.
inline std::optional<TopicConfig> TopicOf(const Engine& engine, const SubscriptionConfig& config) {
  if (!config.topic) return std::nullopt;
  auto topic = engine.FindTopic(*config.topic);
  if (!topic.ok() || (*topic)->id() != config.topic_id) return std::nullopt;
  return (*topic)->config();
}

}  // namespace sluice::server
