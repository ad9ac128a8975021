#include "server/rpc_metrics.h"

#include "fmt/format.h"

namespace sluice::server {

RpcName NameOf(Rpc rpc) {
  static constexpr std::string_view kPubSub = "sluice.v1.PubSub";
  static constexpr std::string_view kAdmin = "sluice.v1.Admin";
  static constexpr std::string_view kPublisher = "google.pubsub.v1.Publisher";
  static constexpr std::string_view kSubscriber = "google.pubsub.v1.Subscriber";
  static constexpr std::string_view kIam = "google.iam.v1.IAMPolicy";
  static constexpr std::array<RpcName, kRpcCount> kNames = {{
      {kPubSub, "Publish", "bidi_stream"},
      {kPubSub, "PublishBatch", "unary"},
      {kPubSub, "Subscribe", "bidi_stream"},
      {kAdmin, "CreateTopic", "unary"},
      {kAdmin, "GetTopic", "unary"},
      {kAdmin, "ListTopics", "unary"},
      {kAdmin, "UpdateTopic", "unary"},
      {kAdmin, "DeleteTopic", "unary"},
      {kAdmin, "CreateSubscription", "unary"},
      {kAdmin, "GetSubscription", "unary"},
      {kAdmin, "ListSubscriptions", "unary"},
      {kAdmin, "UpdateSubscription", "unary"},
      {kAdmin, "DeleteSubscription", "unary"},
      {kAdmin, "SeekSubscription", "unary"},
      {kAdmin, "CreateSnapshot", "unary"},
      {kAdmin, "GetSnapshot", "unary"},
      {kAdmin, "ListSnapshots", "unary"},
      {kAdmin, "DeleteSnapshot", "unary"},
      {kAdmin, "GetTopicStats", "unary"},
      {kAdmin, "GetSubscriptionStats", "unary"},
      {kAdmin, "GetBreakers", "unary"},
      {kAdmin, "GetServerInfo", "unary"},
      {kAdmin, "CreateCheckpoint", "server_stream"},
      {kPublisher, "CreateTopic", "unary"},
      {kPublisher, "UpdateTopic", "unary"},
      {kPublisher, "Publish", "unary"},
      {kPublisher, "GetTopic", "unary"},
      {kPublisher, "ListTopics", "unary"},
      {kPublisher, "ListTopicSubscriptions", "unary"},
      {kPublisher, "ListTopicSnapshots", "unary"},
      {kPublisher, "DeleteTopic", "unary"},
      {kPublisher, "DetachSubscription", "unary"},
      {kSubscriber, "CreateSubscription", "unary"},
      {kSubscriber, "GetSubscription", "unary"},
      {kSubscriber, "UpdateSubscription", "unary"},
      {kSubscriber, "ListSubscriptions", "unary"},
      {kSubscriber, "DeleteSubscription", "unary"},
      {kSubscriber, "ModifyAckDeadline", "unary"},
      {kSubscriber, "Acknowledge", "unary"},
      {kSubscriber, "Pull", "unary"},
      {kSubscriber, "StreamingPull", "bidi_stream"},
      {kSubscriber, "ModifyPushConfig", "unary"},
      {kSubscriber, "GetSnapshot", "unary"},
      {kSubscriber, "ListSnapshots", "unary"},
      {kSubscriber, "CreateSnapshot", "unary"},
      {kSubscriber, "UpdateSnapshot", "unary"},
      {kSubscriber, "DeleteSnapshot", "unary"},
      {kSubscriber, "Seek", "unary"},
      {kIam, "SetIamPolicy", "unary"},
      {kIam, "GetIamPolicy", "unary"},
      {kIam, "TestIamPermissions", "unary"},
      {"unknown", "unknown", "unknown"},
  }};
  return kNames[static_cast<size_t>(rpc)];
}

std::string FullNameOf(Rpc rpc) {
  const RpcName name = NameOf(rpc);
  return fmt::format("{}/{}", name.service, name.method);
}

}  // namespace sluice::server
