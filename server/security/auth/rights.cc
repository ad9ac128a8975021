#include "server/security/auth/rights.h"

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

constexpr Rights kViewer = {Right::kTopicsGet,        Right::kTopicsList,
                            Right::kSubscriptionsGet, Right::kSubscriptionsList,
                            Right::kSnapshotsGet,     Right::kSnapshotsList,
                            Right::kServerView};
constexpr Rights kPublisher = {Right::kTopicsPublish};
constexpr Rights kSubscriber = {Right::kSubscriptionsConsume, Right::kTopicsAttachSubscription,
                                Right::kSnapshotsSeek};
// What decides over others.
constexpr Rights kOverOthers = {Right::kTopicsSetPolicy, Right::kSubscriptionsSetPolicy,
                                Right::kSnapshotsSetPolicy, Right::kServerBackup};

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

Right NthAfter(Right right, Right from, Right to) {
  return static_cast<Right>(static_cast<int>(to) +
                            (static_cast<int>(right) - static_cast<int>(from)));
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
