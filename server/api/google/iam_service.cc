#include "server/api/google/iam_service.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/base/error.h"
#include "server/api/google/calls.h"
#include "server/api/google/iam_policy.h"

namespace sluice::server {
namespace {

namespace iam = ::google::iam::v1;

using ResourceName = std::variant<TopicName, SubscriptionName, SnapshotName>;

template <class Name>
absl::StatusOr<ResourceName> ParseAs(const std::string& name) {
  auto parsed = Name::Parse(name, "resource");
  if (!parsed.ok()) return parsed.status();
  return ResourceName(*std::move(parsed));
}

absl::StatusOr<ResourceName> ParseResource(const std::string& name) {
  if (name.find("/subscriptions/") != name.npos) return ParseAs<SubscriptionName>(name);
  if (name.find("/snapshots/") != name.npos) return ParseAs<SnapshotName>(name);
  return ParseAs<TopicName>(name);
}

// The stored policy of what there is of that name.
absl::StatusOr<std::string> PolicyOf(const Engine& engine, const TopicName& name) {
  auto topic = engine.FindTopic(name);
  if (!topic.ok()) return topic.status();
  return (*topic)->config().iam_policy;
}
absl::StatusOr<std::string> PolicyOf(const Engine& engine, const SubscriptionName& name) {
  auto subscription = engine.FindSubscription(name);
  if (!subscription.ok()) return subscription.status();
  return (*subscription)->config().iam_policy;
}
absl::StatusOr<std::string> PolicyOf(const Engine& engine, const SnapshotName& name) {
  auto snapshot = engine.FindSnapshot(name);
  if (!snapshot.ok()) return snapshot.status();
  return snapshot->iam_policy;
}
absl::StatusOr<std::string> PolicyOf(const Engine& engine, const ResourceName& name) {
  return std::visit([&](const auto& of_kind) { return PolicyOf(engine, of_kind); }, name);
}

// Permissions on a resource begin so.
std::string_view PrefixOf(const ResourceName& name) {
  constexpr std::string_view kPrefixes[] = {"pubsub.topics.", "pubsub.subscriptions.",
                                            "pubsub.snapshots."};
  return kPrefixes[name.index()];
}

}  // namespace

std::string StoredPolicyOf(const Engine& engine, std::string_view resource) {
  auto name = ParseResource(std::string(resource));
  if (!name.ok()) return "";
  return PolicyOf(engine, *name).value_or("");
}

grpc::ServerUnaryReactor* GoogleIam::SetIamPolicy(Call* call,
                                                  const iam::SetIamPolicyRequest* request,
                                                  iam::Policy* response) {
  return RunGoogle(
      context_, Rpc::kGoogleSetIamPolicy, call, *request, [&](const UnaryFinish& finish) {
        auto name = ParseResource(request->resource());
        if (!name.ok()) return finish(name.status());
        const auto change = [request](const std::string& stored) {
          return ChangedPolicy(stored, *request);
        };
        const auto changed = [this, finish, response](const absl::StatusOr<std::string>& stored) {
          if (stored.ok()) {
            context_.access.PolicyChanged();
            *response = ShownPolicy(*stored);
          }
          finish(stored.status());
        };
        std::visit(
            [&](const auto& of_kind) { context_.engine.ChangePolicy(of_kind, change, changed); },
            *name);
      });
}

grpc::ServerUnaryReactor* GoogleIam::GetIamPolicy(Call* call,
                                                  const iam::GetIamPolicyRequest* request,
                                                  iam::Policy* response) {
  auto get = [&]() -> absl::Status {
    auto name = ParseResource(request->resource());
    if (!name.ok()) return name.status();
    const int version = request->options().requested_policy_version();
    if (version != 0 && version != 1 && version != 3)
      return texts::InvalidArgument("options.requested_policy_version");
    auto stored = PolicyOf(context_.engine, *name);
    if (stored.ok()) *response = ShownPolicy(*stored);
    return stored.status();
  };
  return AnswerGoogle(context_, Rpc::kGoogleGetIamPolicy, call, *request, get);
}

grpc::ServerUnaryReactor* GoogleIam::TestIamPermissions(
    Call* call, const iam::TestIamPermissionsRequest* request,
    iam::TestIamPermissionsResponse* response) {
  auto test = [&]() -> absl::Status {
    auto name = ParseResource(request->resource());
    if (!name.ok()) return name.status();
    for (const std::string& permission : request->permissions()) {
      if (permission.find('*') != permission.npos) return texts::InvalidArgument("permissions");
    }
    if (!PolicyOf(context_.engine, *name).ok()) return absl::OkStatus();
    const auto caller =
        context_.access.Identify(*call, EntryOf(Rpc::kGoogleTestIamPermissions).full_name);
    if (!caller.ok()) return caller.status();
    for (const std::string& permission : request->permissions()) {
      if (permission.compare(0, PrefixOf(*name).size(), PrefixOf(*name)) != 0) continue;
      const auto right = RightNamed(permission);
      const bool has = right ? context_.access.Allowed(*caller, *right, request->resource())
                             : !context_.access.enabled();
      if (has) response->add_permissions(permission);
    }
    return absl::OkStatus();
  };
  return AnswerGoogle(context_, Rpc::kGoogleTestIamPermissions, call, *request, test);
}

}  // namespace sluice::server
