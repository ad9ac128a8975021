// The calls that there are: one table, which is all there is to read about what each is called, who
// may make it, and which of them are in the audit log.
//
//   EntryOf(Rpc::kCreateTopic).full_name;          // "sluice.v1.Admin/CreateTopic"
//   for (const Need& need : EntryOf(Rpc::kCreateSubscription).access.needs) ...
//   // pubsub.subscriptions.create on subscription.name, pubsub.topics.attachSubscription on subscription.topic, ...
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "server/security/auth/rights.h"

namespace sluice::server {

enum class Rpc {
  kPublish,
  kPublishBatch,
  kSubscribe,
  kCreateTopic,
  kGetTopic,
  kListTopics,
  kUpdateTopic,
  kDeleteTopic,
  kCreateSubscription,
  kGetSubscription,
  kListSubscriptions,
  kUpdateSubscription,
  kDeleteSubscription,
  kSeekSubscription,
  kCreateSnapshot,
  kGetSnapshot,
  kListSnapshots,
  kDeleteSnapshot,
  kGetTopicStats,
  kGetSubscriptionStats,
  kGetBreakers,
  kGetServerInfo,
  kCreateCheckpoint,
  // google.pubsub.v1.Publisher.
  kGoogleCreateTopic,
  kGoogleUpdateTopic,
  kGooglePublish,
  kGoogleGetTopic,
  kGoogleListTopics,
  kGoogleListTopicSubscriptions,
  kGoogleListTopicSnapshots,
  kGoogleDeleteTopic,
  kGoogleDetachSubscription,
  // google.pubsub.v1.Subscriber.
  kGoogleCreateSubscription,
  kGoogleGetSubscription,
  kGoogleUpdateSubscription,
  kGoogleListSubscriptions,
  kGoogleDeleteSubscription,
  kGoogleModifyAckDeadline,
  kGoogleAcknowledge,
  kGooglePull,
  kGoogleStreamingPull,
  kGoogleModifyPushConfig,
  kGoogleGetSnapshot,
  kGoogleListSnapshots,
  kGoogleCreateSnapshot,
  kGoogleUpdateSnapshot,
  kGoogleDeleteSnapshot,
  kGoogleSeek,
  // google.iam.v1.IAMPolicy.
  kGoogleSetIamPolicy,
  kGoogleGetIamPolicy,
  kGoogleTestIamPermissions,
  // Methods that no service has, all together.
  kUnknown,
};
inline constexpr size_t kRpcCount = static_cast<size_t>(Rpc::kUnknown) + 1;

// A right, and where the request names the resource: a path of fields, "" for the server. An
// optional field may be empty.
struct Need {
  Right right;
  std::string_view field;
  bool optional = false;
};

enum class Openness {
  // Anyone, also without credentials.
  kPublic,
  // Whoever has credentials; what is shown depends on them.
  kAuthenticated,
  // Whoever has all of the rights.
  kRights,
};

struct Needs {
  Openness openness;
  std::vector<Need> needs;
  // Changes something that stays: a line in the audit log.
  bool administrative = false;
};

struct RpcEntry {
  Rpc rpc;
  // "sluice.v1.Admin/CreateTopic".
  std::string_view full_name;
  // "unary", "server_stream", "bidi_stream" or "unknown".
  std::string_view type;
  Needs access;

  std::string_view service() const { return full_name.substr(0, full_name.find('/')); }
  std::string_view method() const { return full_name.substr(full_name.find('/') + 1); }
};

const RpcEntry& EntryOf(Rpc rpc);

}  // namespace sluice::server
