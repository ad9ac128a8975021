// Full names of resources, checked once when they come in:
//
//   absl::StatusOr<TopicName> name = TopicName::Parse("projects/shop/topics/orders");
//   name->id() == "orders"; name->project() == "shop";
//
// Thread rule: value types.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice {

// What a deleted topic's subscriptions say their topic is.
inline constexpr std::string_view kDeletedTopic = "_deleted-topic_";

// The length of "projects/P" when `name` is `projects/P/<collection>/X` with valid P and X, else an
// INVALID_NAME error that names `field`. P is a project's id or number, also one within a domain
// ("example.com:my-project"): 1 to 255 of [A-Za-z0-9][A-Za-z0-9._~+%:-]*. X is 3 to 255 of
// [A-Za-z][A-Za-z0-9._~+%-]*, not starting with "goog".
absl::StatusOr<size_t> CheckResourceName(std::string_view name, std::string_view collection,
                                         std::string_view field);

// Checks `projects/P`.
absl::Status CheckProjectName(std::string_view name, std::string_view field);

template <class Kind>
class ResourceName {
 public:
  ResourceName() = default;

  static absl::StatusOr<ResourceName> Parse(std::string_view name,
                                            std::string_view field = Kind::kField) {
    auto prefix = CheckResourceName(name, Kind::kCollection, field);
    if (!prefix.ok()) return prefix.status();
    return ResourceName(std::string(name), *prefix);
  }

  const std::string& full() const { return full_; }
  // "projects/P".
  std::string_view project_path() const { return std::string_view(full_).substr(0, prefix_); }
  std::string_view project() const { return project_path().substr(sizeof("projects/") - 1); }
  std::string_view id() const {
    return std::string_view(full_).substr(prefix_ + Kind::kCollection.size() + 2);
  }

  bool operator==(const ResourceName&) const = default;
  auto operator<=>(const ResourceName& other) const { return full_ <=> other.full_; }
  template <class H>
  friend H AbslHashValue(H h, const ResourceName& name) {
    return H::combine(std::move(h), name.full_);
  }

 private:
  ResourceName(std::string full, size_t prefix) : full_(std::move(full)), prefix_(prefix) {}

  std::string full_;
  size_t prefix_ = 0;
};

struct TopicKind {
  static constexpr std::string_view kCollection = "topics";
  static constexpr std::string_view kField = "topic";
};
struct SubscriptionKind {
  static constexpr std::string_view kCollection = "subscriptions";
  static constexpr std::string_view kField = "subscription";
};
struct SnapshotKind {
  static constexpr std::string_view kCollection = "snapshots";
  static constexpr std::string_view kField = "snapshot";
};
using TopicName = ResourceName<TopicKind>;
using SubscriptionName = ResourceName<SubscriptionKind>;
using SnapshotName = ResourceName<SnapshotKind>;

}  // namespace sluice
