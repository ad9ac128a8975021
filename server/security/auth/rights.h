// What there is to be allowed, and the roles that have it. server/rpc/rpc_table.h says which right
// a call needs.
//
// Rights have the names of Google's permissions (cloud.google.com/pubsub/docs/access-control), so
// that policies of both worlds say the same.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace sluice::server {

enum class Right : uint8_t {
  kTopicsCreate,
  kTopicsGet,
  kTopicsList,
  kTopicsUpdate,
  kTopicsDelete,
  kTopicsPublish,
  kTopicsAttachSubscription,
  kTopicsDetachSubscription,
  kTopicsGetPolicy,
  kTopicsSetPolicy,
  kSubscriptionsCreate,
  kSubscriptionsGet,
  kSubscriptionsList,
  kSubscriptionsUpdate,
  kSubscriptionsDelete,
  kSubscriptionsConsume,
  kSubscriptionsGetPolicy,
  kSubscriptionsSetPolicy,
  kSnapshotsCreate,
  kSnapshotsGet,
  kSnapshotsList,
  kSnapshotsUpdate,
  kSnapshotsDelete,
  kSnapshotsSeek,
  kSnapshotsGetPolicy,
  kSnapshotsSetPolicy,
  // Of the whole server: its state and metrics of each topic; its backups.
  kServerView,
  kServerBackup,
};
inline constexpr size_t kRightCount = static_cast<size_t>(Right::kServerBackup) + 1;

// "pubsub.topics.publish".
std::string_view NameOf(Right right);
// Nothing for a name that is none.
std::optional<Right> RightNamed(std::string_view name);

// A set of rights.
class Rights {
 public:
  constexpr Rights() = default;
  constexpr Rights(std::initializer_list<Right> rights) {
    for (const Right right : rights) bits_ |= Bit(right);
  }
  static constexpr Rights All() {
    Rights all;
    all.bits_ = (uint64_t{1} << kRightCount) - 1;
    return all;
  }
  constexpr bool has(Right right) const { return (bits_ & Bit(right)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr Rights operator|(Rights other) const {
    other.bits_ |= bits_;
    return other;
  }
  constexpr Rights operator-(Rights other) const {
    other.bits_ = bits_ & ~other.bits_;
    return other;
  }

 private:
  static constexpr uint64_t Bit(Right right) { return uint64_t{1} << static_cast<unsigned>(right); }
  uint64_t bits_ = 0;
};

// viewer, publisher, subscriber, editor, admin, with or without "roles/" or "roles/pubsub." before
// them, and roles/owner. Nothing for a role that is none.
std::optional<Rights> RightsOfRole(std::string_view role);

// The resource of rights on the server itself.
inline constexpr std::string_view kServerResource = "server";

// The right on a resource of this kind: of rights that end alike for topics, subscriptions and
// snapshots the one of the resource.
Right RightOn(Right right, std::string_view resource);

}  // namespace sluice::server
