#include "server/rpc_metrics.h"

namespace sluice::server {

RpcName NameOf(Rpc rpc) {
  static constexpr std::string_view kPubSub = "sluice.v1.PubSub";
  static constexpr std::string_view kAdmin = "sluice.v1.Admin";
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
      {"unknown", "unknown", "unknown"},
  }};
  return kNames[static_cast<size_t>(rpc)];
}

}  // namespace sluice::server
