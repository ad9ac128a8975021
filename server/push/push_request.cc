#include "server/push/push_request.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace sluice::server {
namespace {

std::string TimeText(const Batch& batch) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", batch.publish_time(), absl::UTCTimeZone());
}

std::string IdOf(const PushedMessage& message) {
  return std::to_string((message.batch->first() + message.index).value());
}

std::string Wrapped(const SubscriptionConfig& subscription, const PushedMessage& pushed) {
  const MessageView message = pushed.view();
  nlohmann::ordered_json inner;
  auto& attributes = inner["attributes"] = nlohmann::ordered_json::object();
  message.ForEachAttribute(
      [&](std::string_view key, std::string_view value) { attributes[std::string(key)] = value; });
  inner["data"] = absl::Base64Escape({message.data().data(), message.data().size()});
  inner["messageId"] = inner["message_id"] = IdOf(pushed);
  inner["publishTime"] = inner["publish_time"] = TimeText(*pushed.batch);
  if (!message.ordering_key().empty()) inner["orderingKey"] = message.ordering_key();
  nlohmann::ordered_json outer;
  outer["message"] = std::move(inner);
  outer["subscription"] = subscription.name.full();
  if (subscription.dead_letter) outer["deliveryAttempt"] = pushed.attempt;
  // What is stored is UTF-8; whatever else would be no reason to fail.
  return outer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A name that a program may choose: those that say how the request is to be read, or who it is
// from, are not its own.
bool MayBeHeader(std::string_view name) {
  static constexpr std::array<std::string_view, 14> kReserved = {"authorization",
                                                                 "connection",
                                                                 "content-encoding",
                                                                 "content-length",
                                                                 "expect",
                                                                 "host",
                                                                 "keep-alive",
                                                                 "proxy-authorization",
                                                                 "te",
                                                                 "trailer",
                                                                 "transfer-encoding",
                                                                 "upgrade",
                                                                 "user-agent",
                                                                 "cookie"};
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  const auto token = [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kMarks.find(c) != kMarks.npos;
  };
  std::string lower(name);
  absl::AsciiStrToLower(&lower);
  return !name.empty() && std::all_of(name.begin(), name.end(), token) &&
         !absl::StartsWith(lower, "x-goog-") &&
         std::find(kReserved.begin(), kReserved.end(), lower) == kReserved.end();
}

bool MayBeHeaderValue(std::string_view value) {
  return !value.empty() && std::none_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t';
  });
}

std::vector<std::string> MetadataHeaders(const SubscriptionConfig& subscription,
                                         const PushedMessage& pushed) {
  const MessageView message = pushed.view();
  std::vector<std::string> headers = {
      fmt::format("x-goog-pubsub-subscription-name: {}", subscription.name.full()),
      fmt::format("x-goog-pubsub-message-id: {}", IdOf(pushed)),
      fmt::format("x-goog-pubsub-publish-time: {}", TimeText(*pushed.batch)),
  };
  if (MayBeHeaderValue(message.ordering_key())) {
    headers.push_back(fmt::format("x-goog-pubsub-ordering-key: {}", message.ordering_key()));
  }
  if (subscription.dead_letter)
    headers.push_back(fmt::format("x-goog-pubsub-delivery-attempt: {}", pushed.attempt));
  message.ForEachAttribute([&](std::string_view key, std::string_view value) {
    if (MayBeHeader(key) && MayBeHeaderValue(value))
      headers.push_back(fmt::format("{}: {}", key, value));
  });
  return headers;
}

}  // namespace

HttpRequest MakePushRequest(const SubscriptionConfig& subscription, const PushedMessage& message) {
  const PushConfig& push = *subscription.push;
  HttpRequest request{
      .url = push.endpoint, .headers = {}, .body = {}, .timeout = subscription.ack_deadline};
  if (push.wrapped) {
    request.headers = {"Content-Type: application/json"};
    request.body = Wrapped(subscription, message);
    return request;
  }
  if (push.metadata_headers) request.headers = MetadataHeaders(subscription, message);
  if (!request.HasHeader("content-type"))
    request.headers.emplace_back("Content-Type: application/octet-stream");
  request.body = message.view().data();
  return request;
}

bool Acknowledges(int code) {
  return code == 102 || code == 200 || code == 201 || code == 202 || code == 204;
}

}  // namespace sluice::server
