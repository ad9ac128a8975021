#include "server/rpc/rpc_table.h"

#include <array>

namespace sluice::server {
namespace {

constexpr std::string_view kUnary = "unary";
constexpr std::string_view kServerStream = "server_stream";
constexpr std::string_view kBidiStream = "bidi_stream";
constexpr Openness kRights = Openness::kRights;
constexpr bool kAdministrative = true;
// A dead-letter topic gets messages of the subscription: who sets it must be able to publish there.
constexpr bool kOptional = true;

// NOLINTNEXTLINE(cert-err58-cpp): a table of literals.
const std::array<RpcEntry, kRpcCount> kTable = {{
    {Rpc::kPublish, "sluice.v1.PubSub/Publish", kBidiStream, {kRights, {{Right::kTopicsPublish, "topic"}}}},
    {Rpc::kPublishBatch, "sluice.v1.PubSub/PublishBatch", kUnary, {kRights, {{Right::kTopicsPublish, "topic"}}}},
    // One of the two.
    {Rpc::kSubscribe, "sluice.v1.PubSub/Subscribe", kBidiStream,
     {kRights,
      {{Right::kSubscriptionsConsume, "subscription", kOptional},
       {Right::kTopicsAttachSubscription, "ephemeral.topic", kOptional}}}},
    {Rpc::kCreateTopic, "sluice.v1.Admin/CreateTopic", kUnary,
     {kRights, {{Right::kTopicsCreate, "topic.name"}}, kAdministrative}},
    {Rpc::kGetTopic, "sluice.v1.Admin/GetTopic", kUnary, {kRights, {{Right::kTopicsGet, "name"}}}},
    {Rpc::kListTopics, "sluice.v1.Admin/ListTopics", kUnary, {kRights, {{Right::kTopicsList, "project"}}}},
    {Rpc::kUpdateTopic, "sluice.v1.Admin/UpdateTopic", kUnary,
     {kRights, {{Right::kTopicsUpdate, "topic.name"}}, kAdministrative}},
    {Rpc::kDeleteTopic, "sluice.v1.Admin/DeleteTopic", kUnary, {kRights, {{Right::kTopicsDelete, "name"}}, kAdministrative}},
    {Rpc::kCreateSubscription, "sluice.v1.Admin/CreateSubscription", kUnary,
     {kRights,
      {{Right::kSubscriptionsCreate, "subscription.name"},
       {Right::kTopicsAttachSubscription, "subscription.topic"},
       {Right::kTopicsPublish, "subscription.dead_letter_policy.dead_letter_topic", kOptional}}, kAdministrative}},
    {Rpc::kGetSubscription, "sluice.v1.Admin/GetSubscription", kUnary, {kRights, {{Right::kSubscriptionsGet, "name"}}}},
    {Rpc::kListSubscriptions, "sluice.v1.Admin/ListSubscriptions", kUnary, {kRights, {{Right::kSubscriptionsList, "project"}}}},
    {Rpc::kUpdateSubscription, "sluice.v1.Admin/UpdateSubscription", kUnary,
     {kRights,
      {{Right::kSubscriptionsUpdate, "subscription.name"},
       {Right::kTopicsPublish, "subscription.dead_letter_policy.dead_letter_topic", kOptional}}, kAdministrative}},
    {Rpc::kDeleteSubscription, "sluice.v1.Admin/DeleteSubscription", kUnary,
     {kRights, {{Right::kSubscriptionsDelete, "name"}}, kAdministrative}},
    {Rpc::kSeekSubscription, "sluice.v1.Admin/SeekSubscription", kUnary,
     {kRights, {{Right::kSubscriptionsConsume, "name"}, {Right::kSnapshotsSeek, "snapshot", kOptional}}, kAdministrative}},
    {Rpc::kCreateSnapshot, "sluice.v1.Admin/CreateSnapshot", kUnary,
     {kRights, {{Right::kSnapshotsCreate, "name"}, {Right::kSubscriptionsConsume, "subscription"}}, kAdministrative}},
    {Rpc::kGetSnapshot, "sluice.v1.Admin/GetSnapshot", kUnary, {kRights, {{Right::kSnapshotsGet, "name"}}}},
    {Rpc::kListSnapshots, "sluice.v1.Admin/ListSnapshots", kUnary, {kRights, {{Right::kSnapshotsList, "project"}}}},
    {Rpc::kDeleteSnapshot, "sluice.v1.Admin/DeleteSnapshot", kUnary,
     {kRights, {{Right::kSnapshotsDelete, "name"}}, kAdministrative}},
    {Rpc::kGetTopicStats, "sluice.v1.Admin/GetTopicStats", kUnary, {kRights, {{Right::kTopicsGet, "name"}}}},
    {Rpc::kGetSubscriptionStats, "sluice.v1.Admin/GetSubscriptionStats", kUnary, {kRights, {{Right::kSubscriptionsGet, "name"}}}},
    {Rpc::kGetBreakers, "sluice.v1.Admin/GetBreakers", kUnary, {kRights, {{Right::kServerView, ""}}}},
    {Rpc::kGetServerInfo, "sluice.v1.Admin/GetServerInfo", kUnary, {Openness::kAuthenticated, {}}},
    {Rpc::kCreateCheckpoint, "sluice.v1.Admin/CreateCheckpoint", kServerStream,
     {kRights, {{Right::kServerBackup, ""}}, kAdministrative}},
    {Rpc::kGoogleCreateTopic, "google.pubsub.v1.Publisher/CreateTopic", kUnary,
     {kRights, {{Right::kTopicsCreate, "name"}}, kAdministrative}},
    {Rpc::kGoogleUpdateTopic, "google.pubsub.v1.Publisher/UpdateTopic", kUnary,
     {kRights, {{Right::kTopicsUpdate, "topic.name"}}, kAdministrative}},
    {Rpc::kGooglePublish, "google.pubsub.v1.Publisher/Publish", kUnary, {kRights, {{Right::kTopicsPublish, "topic"}}}},
    {Rpc::kGoogleGetTopic, "google.pubsub.v1.Publisher/GetTopic", kUnary, {kRights, {{Right::kTopicsGet, "topic"}}}},
    {Rpc::kGoogleListTopics, "google.pubsub.v1.Publisher/ListTopics", kUnary, {kRights, {{Right::kTopicsList, "project"}}}},
    {Rpc::kGoogleListTopicSubscriptions, "google.pubsub.v1.Publisher/ListTopicSubscriptions", kUnary,
     {kRights, {{Right::kTopicsGet, "topic"}}}},
    {Rpc::kGoogleListTopicSnapshots, "google.pubsub.v1.Publisher/ListTopicSnapshots", kUnary,
     {kRights, {{Right::kTopicsGet, "topic"}}}},
    {Rpc::kGoogleDeleteTopic, "google.pubsub.v1.Publisher/DeleteTopic", kUnary,
     {kRights, {{Right::kTopicsDelete, "topic"}}, kAdministrative}},
    // As Google has it the right is one of the topic; here it is asked of the subscription, whose project may be another.
    {Rpc::kGoogleDetachSubscription, "google.pubsub.v1.Publisher/DetachSubscription", kUnary,
     {kRights, {{Right::kTopicsDetachSubscription, "subscription"}}, kAdministrative}},
    {Rpc::kGoogleCreateSubscription, "google.pubsub.v1.Subscriber/CreateSubscription", kUnary,
     {kRights,
      {{Right::kSubscriptionsCreate, "name"},
       {Right::kTopicsAttachSubscription, "topic"},
       {Right::kTopicsPublish, "dead_letter_policy.dead_letter_topic", kOptional}}, kAdministrative}},
    {Rpc::kGoogleGetSubscription, "google.pubsub.v1.Subscriber/GetSubscription", kUnary,
     {kRights, {{Right::kSubscriptionsGet, "subscription"}}}},
    {Rpc::kGoogleUpdateSubscription, "google.pubsub.v1.Subscriber/UpdateSubscription", kUnary,
     {kRights,
      {{Right::kSubscriptionsUpdate, "subscription.name"},
       {Right::kTopicsPublish, "subscription.dead_letter_policy.dead_letter_topic", kOptional}}, kAdministrative}},
    {Rpc::kGoogleListSubscriptions, "google.pubsub.v1.Subscriber/ListSubscriptions", kUnary,
     {kRights, {{Right::kSubscriptionsList, "project"}}}},
    {Rpc::kGoogleDeleteSubscription, "google.pubsub.v1.Subscriber/DeleteSubscription", kUnary,
     {kRights, {{Right::kSubscriptionsDelete, "subscription"}}, kAdministrative}},
    {Rpc::kGoogleModifyAckDeadline, "google.pubsub.v1.Subscriber/ModifyAckDeadline", kUnary,
     {kRights, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGoogleAcknowledge, "google.pubsub.v1.Subscriber/Acknowledge", kUnary,
     {kRights, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGooglePull, "google.pubsub.v1.Subscriber/Pull", kUnary, {kRights, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGoogleStreamingPull, "google.pubsub.v1.Subscriber/StreamingPull", kBidiStream,
     {kRights, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGoogleModifyPushConfig, "google.pubsub.v1.Subscriber/ModifyPushConfig", kUnary,
     {kRights, {{Right::kSubscriptionsUpdate, "subscription"}}, kAdministrative}},
    {Rpc::kGoogleGetSnapshot, "google.pubsub.v1.Subscriber/GetSnapshot", kUnary, {kRights, {{Right::kSnapshotsGet, "snapshot"}}}},
    {Rpc::kGoogleListSnapshots, "google.pubsub.v1.Subscriber/ListSnapshots", kUnary,
     {kRights, {{Right::kSnapshotsList, "project"}}}},
    // Without a name the server makes one up, in the subscription's project.
    {Rpc::kGoogleCreateSnapshot, "google.pubsub.v1.Subscriber/CreateSnapshot", kUnary,
     {kRights,
      {{Right::kSnapshotsCreate, "name", kOptional},
       {Right::kSnapshotsCreate, "subscription"},
       {Right::kSubscriptionsConsume, "subscription"}}, kAdministrative}},
    {Rpc::kGoogleUpdateSnapshot, "google.pubsub.v1.Subscriber/UpdateSnapshot", kUnary,
     {kRights, {{Right::kSnapshotsUpdate, "snapshot.name"}}, kAdministrative}},
    {Rpc::kGoogleDeleteSnapshot, "google.pubsub.v1.Subscriber/DeleteSnapshot", kUnary,
     {kRights, {{Right::kSnapshotsDelete, "snapshot"}}, kAdministrative}},
    {Rpc::kGoogleSeek, "google.pubsub.v1.Subscriber/Seek", kUnary,
     {kRights,
      {{Right::kSubscriptionsConsume, "subscription"},
       {Right::kSnapshotsSeek, "snapshot", kOptional}}, kAdministrative}},
    // Of the kind that the resource is.
    {Rpc::kGoogleSetIamPolicy, "google.iam.v1.IAMPolicy/SetIamPolicy", kUnary,
     {kRights, {{Right::kTopicsSetPolicy, "resource"}}, kAdministrative}},
    {Rpc::kGoogleGetIamPolicy, "google.iam.v1.IAMPolicy/GetIamPolicy", kUnary,
     {kRights, {{Right::kTopicsGetPolicy, "resource"}}}},
    {Rpc::kGoogleTestIamPermissions, "google.iam.v1.IAMPolicy/TestIamPermissions", kUnary, {Openness::kAuthenticated, {}}},
    // Says that it is none.
    {Rpc::kUnknown, "unknown/unknown", "unknown", {Openness::kPublic, {}}},
}};

}  // namespace

const RpcEntry& EntryOf(Rpc rpc) { return kTable[static_cast<size_t>(rpc)]; }

}  // namespace sluice::server
