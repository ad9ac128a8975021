#include "server/auth/rights.h"

#include <algorithm>
#include <array>

#include "absl/strings/strip.h"
#include "core/base/strings.h"

namespace sluice::server {
namespace {

constexpr std::array<std::string_view, kRightCount> kRightNames = {
    "pubsub.topics.create",
    "pubsub.topics.get",
    "pubsub.topics.list",
    "pubsub.topics.update",
    "pubsub.topics.delete",
    "pubsub.topics.publish",
    "pubsub.topics.attachSubscription",
    "pubsub.topics.detachSubscription",
    "pubsub.topics.getIamPolicy",
    "pubsub.topics.setIamPolicy",
    "pubsub.subscriptions.create",
    "pubsub.subscriptions.get",
    "pubsub.subscriptions.list",
    "pubsub.subscriptions.update",
    "pubsub.subscriptions.delete",
    "pubsub.subscriptions.consume",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.subscriptions.setIamPolicy",
    "pubsub.snapshots.create",
    "pubsub.snapshots.get",
    "pubsub.snapshots.list",
    "pubsub.snapshots.update",
    "pubsub.snapshots.delete",
    "pubsub.snapshots.seek",
    "pubsub.snapshots.getIamPolicy",
    "pubsub.snapshots.setIamPolicy",
    "sluice.server.view",
    "sluice.server.backup",
};

constexpr Rights kViewer = {Right::kTopicsGet,        Right::kTopicsList,       Right::kSubscriptionsGet,
                            Right::kSubscriptionsList, Right::kSnapshotsGet,    Right::kSnapshotsList,
                            Right::kServerView};
constexpr Rights kPublisher = {Right::kTopicsPublish};
constexpr Rights kSubscriber = {Right::kSubscriptionsConsume, Right::kTopicsAttachSubscription, Right::kSnapshotsSeek};
// What decides over others.
constexpr Rights kOverOthers = {Right::kTopicsSetPolicy, Right::kSubscriptionsSetPolicy, Right::kSnapshotsSetPolicy,
                                Right::kServerBackup};

struct Role {
  std::string_view name;
  Rights rights;
};
constexpr std::array<Role, 6> kRoles = {{{"viewer", kViewer},
                                         {"publisher", kPublisher},
                                         {"subscriber", kSubscriber},
                                         {"editor", Rights::All() - kOverOthers},
                                         {"admin", Rights::All()},
                                         {"owner", Rights::All()}}};

constexpr Openness kNeeds = Openness::kRights;
constexpr bool kAdministrative = true;
// A dead-letter topic gets messages of the subscription: who sets it must be able to publish there.
constexpr bool kOptional = true;

struct Entry {
  Rpc rpc;
  Needs needs;
};

// NOLINTNEXTLINE(cert-err58-cpp): a table of literals.
const std::array<Entry, kRpcCount> kTable = {{
    {Rpc::kPublish, {kNeeds, {{Right::kTopicsPublish, "topic"}}}},
    {Rpc::kPublishBatch, {kNeeds, {{Right::kTopicsPublish, "topic"}}}},
    // One of the two.
    {Rpc::kSubscribe,
     {kNeeds,
      {{Right::kSubscriptionsConsume, "subscription", kOptional},
       {Right::kTopicsAttachSubscription, "ephemeral.topic", kOptional}}}},
    {Rpc::kCreateTopic, {kNeeds, {{Right::kTopicsCreate, "topic.name"}}, kAdministrative}},
    {Rpc::kGetTopic, {kNeeds, {{Right::kTopicsGet, "name"}}}},
    {Rpc::kListTopics, {kNeeds, {{Right::kTopicsList, "project"}}}},
    {Rpc::kUpdateTopic, {kNeeds, {{Right::kTopicsUpdate, "topic.name"}}, kAdministrative}},
    {Rpc::kDeleteTopic, {kNeeds, {{Right::kTopicsDelete, "name"}}, kAdministrative}},
    {Rpc::kCreateSubscription,
     {kNeeds,
      {{Right::kSubscriptionsCreate, "subscription.name"},
       {Right::kTopicsAttachSubscription, "subscription.topic"},
       {Right::kTopicsPublish, "subscription.dead_letter_policy.dead_letter_topic", kOptional}},
      kAdministrative}},
    {Rpc::kGetSubscription, {kNeeds, {{Right::kSubscriptionsGet, "name"}}}},
    {Rpc::kListSubscriptions, {kNeeds, {{Right::kSubscriptionsList, "project"}}}},
    {Rpc::kUpdateSubscription,
     {kNeeds,
      {{Right::kSubscriptionsUpdate, "subscription.name"},
       {Right::kTopicsPublish, "subscription.dead_letter_policy.dead_letter_topic", kOptional}},
      kAdministrative}},
    {Rpc::kDeleteSubscription, {kNeeds, {{Right::kSubscriptionsDelete, "name"}}, kAdministrative}},
    {Rpc::kSeekSubscription,
     {kNeeds, {{Right::kSubscriptionsConsume, "name"}, {Right::kSnapshotsSeek, "snapshot", kOptional}}, kAdministrative}},
    {Rpc::kCreateSnapshot,
     {kNeeds, {{Right::kSnapshotsCreate, "name"}, {Right::kSubscriptionsConsume, "subscription"}}, kAdministrative}},
    {Rpc::kGetSnapshot, {kNeeds, {{Right::kSnapshotsGet, "name"}}}},
    {Rpc::kListSnapshots, {kNeeds, {{Right::kSnapshotsList, "project"}}}},
    {Rpc::kDeleteSnapshot, {kNeeds, {{Right::kSnapshotsDelete, "name"}}, kAdministrative}},
    {Rpc::kGetTopicStats, {kNeeds, {{Right::kTopicsGet, "name"}}}},
    {Rpc::kGetSubscriptionStats, {kNeeds, {{Right::kSubscriptionsGet, "name"}}}},
    {Rpc::kGetBreakers, {kNeeds, {{Right::kServerView, ""}}}},
    {Rpc::kGetServerInfo, {Openness::kAuthenticated, {}}},
    {Rpc::kCreateCheckpoint, {kNeeds, {{Right::kServerBackup, ""}}, kAdministrative}},
    {Rpc::kGoogleCreateTopic, {kNeeds, {{Right::kTopicsCreate, "name"}}, kAdministrative}},
    {Rpc::kGoogleUpdateTopic, {kNeeds, {{Right::kTopicsUpdate, "topic.name"}}, kAdministrative}},
    {Rpc::kGooglePublish, {kNeeds, {{Right::kTopicsPublish, "topic"}}}},
    {Rpc::kGoogleGetTopic, {kNeeds, {{Right::kTopicsGet, "topic"}}}},
    {Rpc::kGoogleListTopics, {kNeeds, {{Right::kTopicsList, "project"}}}},
    {Rpc::kGoogleListTopicSubscriptions, {kNeeds, {{Right::kTopicsGet, "topic"}}}},
    {Rpc::kGoogleListTopicSnapshots, {kNeeds, {{Right::kTopicsGet, "topic"}}}},
    {Rpc::kGoogleDeleteTopic, {kNeeds, {{Right::kTopicsDelete, "topic"}}, kAdministrative}},
    // As Google has it the right is one of the topic; here it is asked of the subscription, whose project may be another.
    {Rpc::kGoogleDetachSubscription, {kNeeds, {{Right::kTopicsDetachSubscription, "subscription"}}, kAdministrative}},
    {Rpc::kGoogleCreateSubscription,
     {kNeeds,
      {{Right::kSubscriptionsCreate, "name"},
       {Right::kTopicsAttachSubscription, "topic"},
       {Right::kTopicsPublish, "dead_letter_policy.dead_letter_topic", kOptional}},
      kAdministrative}},
    {Rpc::kGoogleGetSubscription, {kNeeds, {{Right::kSubscriptionsGet, "subscription"}}}},
    {Rpc::kGoogleUpdateSubscription,
     {kNeeds,
      {{Right::kSubscriptionsUpdate, "subscription.name"},
       {Right::kTopicsPublish, "subscription.dead_letter_policy.dead_letter_topic", kOptional}},
      kAdministrative}},
    {Rpc::kGoogleListSubscriptions, {kNeeds, {{Right::kSubscriptionsList, "project"}}}},
    {Rpc::kGoogleDeleteSubscription, {kNeeds, {{Right::kSubscriptionsDelete, "subscription"}}, kAdministrative}},
    {Rpc::kGoogleModifyAckDeadline, {kNeeds, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGoogleAcknowledge, {kNeeds, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGooglePull, {kNeeds, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGoogleStreamingPull, {kNeeds, {{Right::kSubscriptionsConsume, "subscription"}}}},
    {Rpc::kGoogleModifyPushConfig, {kNeeds, {{Right::kSubscriptionsUpdate, "subscription"}}, kAdministrative}},
    {Rpc::kGoogleGetSnapshot, {kNeeds, {{Right::kSnapshotsGet, "snapshot"}}}},
    {Rpc::kGoogleListSnapshots, {kNeeds, {{Right::kSnapshotsList, "project"}}}},
    // Without a name the server makes one up, in the subscription's project.
    {Rpc::kGoogleCreateSnapshot,
     {kNeeds,
      {{Right::kSnapshotsCreate, "name", kOptional},
       {Right::kSnapshotsCreate, "subscription"},
       {Right::kSubscriptionsConsume, "subscription"}},
      kAdministrative}},
    {Rpc::kGoogleUpdateSnapshot, {kNeeds, {{Right::kSnapshotsUpdate, "snapshot.name"}}, kAdministrative}},
    {Rpc::kGoogleDeleteSnapshot, {kNeeds, {{Right::kSnapshotsDelete, "snapshot"}}, kAdministrative}},
    {Rpc::kGoogleSeek,
     {kNeeds,
      {{Right::kSubscriptionsConsume, "subscription"}, {Right::kSnapshotsSeek, "snapshot", kOptional}},
      kAdministrative}},
    // Of the kind that the resource is.
    {Rpc::kGoogleSetIamPolicy, {kNeeds, {{Right::kTopicsSetPolicy, "resource"}}, kAdministrative}},
    {Rpc::kGoogleGetIamPolicy, {kNeeds, {{Right::kTopicsGetPolicy, "resource"}}}},
    {Rpc::kGoogleTestIamPermissions, {Openness::kAuthenticated, {}}},
    // Says that it is none.
    {Rpc::kUnknown, {Openness::kPublic, {}}},
}};

Right NthAfter(Right right, Right from, Right to) {
  return static_cast<Right>(static_cast<int>(to) + (static_cast<int>(right) - static_cast<int>(from)));
}

}  // namespace

std::string_view NameOf(Right right) { return kRightNames[static_cast<size_t>(right)]; }

std::optional<Right> RightNamed(std::string_view name) {
  const auto* const found = std::find(kRightNames.begin(), kRightNames.end(), name);
  if (found == kRightNames.end()) return std::nullopt;
  return static_cast<Right>(found - kRightNames.begin());
}

std::optional<Rights> RightsOfRole(std::string_view role) {
  absl::string_view rest = ToAbsl(role);
  if (absl::ConsumePrefix(&rest, "roles/")) absl::ConsumePrefix(&rest, "pubsub.");
  for (const Role& known : kRoles) {
    if (ToAbsl(known.name) == rest) return known.rights;
  }
  return std::nullopt;
}

const Needs& NeedsOf(Rpc rpc) { return kTable[static_cast<size_t>(rpc)].needs; }

Right RightOn(Right right, std::string_view resource) {
  const bool policy = right == Right::kTopicsSetPolicy || right == Right::kTopicsGetPolicy;
  if (!policy) return right;
  if (resource.find("/subscriptions/") != resource.npos) {
    return NthAfter(right, Right::kTopicsGetPolicy, Right::kSubscriptionsGetPolicy);
  }
  if (resource.find("/snapshots/") != resource.npos) {
    return NthAfter(right, Right::kTopicsGetPolicy, Right::kSnapshotsGetPolicy);
  }
  return right;
}

}  // namespace sluice::server
