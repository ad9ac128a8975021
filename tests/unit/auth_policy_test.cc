// The policy file, the roles, and policies of resources.
#include "core/base/error.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/iam/v1/policy.pb.h"
#include "server/rpc/rpc_table.h"
#include "server/security/auth/policy.h"
#include "server/security/auth/stored_policy.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::shared_ptr<const Policy> Parsed(const std::string& text) {
  auto policy = Policy::Parse(text, "policy.yaml");
  EXPECT_TRUE(policy.ok()) << std::string(policy.status().message());
  return policy.ok() ? *policy : std::make_shared<const Policy>();
}

std::string Wrong(const std::string& text) {
  auto policy = Policy::Parse(text, "policy.yaml");
  if (policy.ok()) return "accepted";
  EXPECT_EQ(ReasonOf(policy.status()), Reason::kInvalidPolicy);
  return std::string(policy.status().message());
}

constexpr char kTwoTeams[] = R"(
groups:
  team-a: ["jwt:alice", "cert:spiffe://example.com/a/*"]
  everyone: [group:team-a, token:ci]
bindings:
  - {role: editor, members: [group:team-a], resources: [projects/a/*]}
  - {role: publisher, members: token:ci, resources: [projects/a/topics/orders, projects/b/topics/in-*]}
  - {role: viewer, members: [authenticated], resources: [projects/shared/*]}
  - {role: subscriber, members: ["*"], resources: [projects/open/subscriptions/all]}
  - {role: viewer, members: [token:prometheus], resources: ["*"]}
quotas:
  - {members: [token:ci], messages_per_second: 100}
  - {projects: [a], bytes_per_second: 1KiB}
)";

TEST(PolicyTest, GrantsWhatItSaysAndNothingElse) {
  const auto policy = Parsed(kTwoTeams);
  const auto may = [&](std::string_view who, Right right, std::string_view what) {
    return policy->Grants(who, right, what);
  };
  EXPECT_TRUE(may("jwt:alice", Right::kTopicsDelete, "projects/a/topics/orders"));
  EXPECT_TRUE(may("cert:spiffe://example.com/a/billing", Right::kSubscriptionsConsume,
                  "projects/a/subscriptions/s"));
  EXPECT_FALSE(may("cert:spiffe://example.com/b/billing", Right::kSubscriptionsConsume,
                   "projects/a/subscriptions/s"));
  EXPECT_FALSE(may("jwt:alice", Right::kTopicsGet, "projects/b/topics/orders"));
  EXPECT_FALSE(may("jwt:alice", Right::kTopicsGet, "projects/aa/topics/orders"));
  EXPECT_FALSE(may("token:alice", Right::kTopicsGet, "projects/a/topics/orders"))
      << "another kind of principal";
  EXPECT_TRUE(may("jwt:alice", Right::kTopicsList, "projects/a"))
      << "projects/a/* is the project as well";
  EXPECT_FALSE(may("jwt:alice", Right::kTopicsSetPolicy, "projects/a/topics/orders"))
      << "an editor is no admin";
  EXPECT_TRUE(may("token:ci", Right::kTopicsPublish, "projects/a/topics/orders"));
  EXPECT_FALSE(may("token:ci", Right::kTopicsPublish, "projects/a/topics/orders2"));
  EXPECT_TRUE(may("token:ci", Right::kTopicsPublish, "projects/b/topics/in-1"));
  EXPECT_FALSE(may("token:ci", Right::kTopicsGet, "projects/a/topics/orders"));
  EXPECT_TRUE(may("jwt:bob", Right::kTopicsGet, "projects/shared/topics/x"));
  EXPECT_FALSE(may(kAnonymous, Right::kTopicsGet, "projects/shared/topics/x"));
  EXPECT_TRUE(may(kAnonymous, Right::kSubscriptionsConsume, "projects/open/subscriptions/all"));
  EXPECT_TRUE(may("token:prometheus", Right::kServerView, kServerResource));
  EXPECT_FALSE(may("jwt:alice", Right::kServerView, kServerResource));
}

TEST(PolicyTest, AnEmptyOneGrantsNothing) {
  for (const char* text : {"", "{}", "bindings: []", "bindings:"}) {
    EXPECT_FALSE(Parsed(text)->Grants("jwt:alice", Right::kTopicsGet, "projects/a/topics/t"))
        << text;
  }
}

// Each group holds the next one twice, the last nobody: gone into every time, 2^16 of them.
TEST(PolicyTest, GroupsAreGoneIntoOnceAndNotTooDeep) {
  const auto chain = [](int groups) {
    std::string text = "groups:\n";
    for (int i = 0; i < groups; ++i)
      text += fmt::format("  g{0}: [group:g{1}, group:g{1}]\n", i, i + 1);
    return text + fmt::format("  g{}: []\n", groups);
  };
  EXPECT_TRUE(Policy::Parse(chain(15), "policy.yaml").ok());
  EXPECT_THAT(Wrong(chain(16)), HasSubstr("group g16 is more than 16 groups deep"));
  std::string many = "groups:\n";
  for (int i = 0; i < 1001; ++i) many += fmt::format("  g{}: []\n", i);
  EXPECT_THAT(Wrong(many), HasSubstr("groups: 1001, but at most 1000 are allowed"));
}

TEST(PolicyTest, MembersHaveABound) {
  std::string group = "groups:\n  all: [jwt:0";
  for (int i = 1; i < 10'000; ++i) group += fmt::format(",jwt:{}", i);
  std::string bindings = "]\nbindings:\n";
  for (int i = 0; i < 99; ++i)
    bindings += "  - {role: viewer, members: group:all, resources: \"*\"}\n";
  EXPECT_TRUE(Policy::Parse(group + bindings, "policy.yaml").ok());
  EXPECT_THAT(Wrong(group + ",jwt:more" + bindings),
              HasSubstr("groups.all: more than 10000 members"));
  bindings += "  - {role: viewer, members: group:all, resources: \"*\"}\n";
  EXPECT_THAT(Wrong(group + bindings), HasSubstr("more than 1000000 members in all"));
}

TEST(PolicyTest, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(Wrong("bindings:\n  - {role: owne, members: [\"*\"], resources: [\"*\"]}"),
            "policy.yaml:2: bindings[0].role: owne is none; there are viewer, publisher, "
            "subscriber, editor and admin");
  EXPECT_THAT(Wrong("bindings:\n  - {members: [\"*\"], resources: [\"*\"]}"),
              HasSubstr("bindings[0].role: is missing"));
  EXPECT_THAT(Wrong("bindings:\n  - {role: viewer, members: [], resources: [\"*\"]}"),
              HasSubstr("members: none are named"));
  EXPECT_THAT(Wrong("bindings:\n  - {role: viewer, members: [\"*\"]}"),
              HasSubstr("resources: none are named"));
  EXPECT_THAT(Wrong("bindings:\n  - {role: viewer, members: [alice], resources: [\"*\"]}"),
              HasSubstr("alice is no member"));
  EXPECT_THAT(Wrong("bindings:\n  - {role: viewer, members: [\"jwt:\"], resources: [\"*\"]}"),
              HasSubstr("jwt: is no member"));
  EXPECT_THAT(Wrong("bindings:\n  - {role: viewer, members: [\"*\"], resources: [topics/x]}"),
              HasSubstr("topics/x is none"));
  EXPECT_THAT(Wrong("bindings:\n  - {role: viewer, members: [group:nobody], resources: [\"*\"]}"),
              HasSubstr("no group nobody"));
  EXPECT_THAT(Wrong("groups:\n  a: [group:b]\n  b: [group:c]\n  c: [group:a]"),
              HasSubstr("is in itself"));
  EXPECT_THAT(Wrong("groups:\n  a: [group:a]"), HasSubstr("group a is in itself"));
  EXPECT_THAT(Wrong("groups: {a: [jwt:x], a: [jwt:y]}"), HasSubstr("a is there twice"));
  EXPECT_THAT(
      Wrong("binding: []"),
      StartsWith("policy.yaml:1: policy: binding is not known; there are groups, bindings"));
  EXPECT_THAT(Wrong("bindings: []\nbindings: []"),
              StartsWith("policy.yaml:2: policy: bindings is there twice"));
  EXPECT_THAT(Wrong("bindings: {role: x}"), HasSubstr("must be a list"));
  EXPECT_THAT(Wrong("bindings:\n  - {role: viewer, role: editor}"),
              HasSubstr("role is there twice"));
  EXPECT_THAT(Wrong("quotas:\n  - {members: [\"*\"], messages_per_second: many}"),
              HasSubstr("must be a number"));
  EXPECT_THAT(Wrong("quotas:\n  - {messages_per_second: 7}"),
              HasSubstr("either members or projects"));
  EXPECT_THAT(Wrong("["), StartsWith("policy.yaml:"));
  EXPECT_THAT(Wrong("just words"), HasSubstr("must be a map"));
}

TEST(PolicyTest, RolesHaveGooglesNamesToo) {
  for (const char* role : {"publisher", "roles/publisher", "roles/pubsub.publisher"}) {
    const auto rights = RightsOfRole(role);
    ASSERT_TRUE(rights) << role;
    EXPECT_TRUE(rights->has(Right::kTopicsPublish));
    EXPECT_FALSE(rights->has(Right::kTopicsGet));
  }
  EXPECT_FALSE(RightsOfRole("roles/pubsub"));
  EXPECT_FALSE(RightsOfRole(""));
  for (size_t i = 0; i < kRightCount; ++i) {
    const auto right = static_cast<Right>(i);
    EXPECT_EQ(RightNamed(NameOf(right)), right);
    EXPECT_TRUE(RightsOfRole("admin")->has(right));
  }
}

TEST(PolicyTest, EveryRpcHasItsRight) {
  for (size_t i = 0; i < kRpcCount; ++i) {
    const RpcEntry& entry = EntryOf(static_cast<Rpc>(i));
    const Needs& needs = entry.access;
    EXPECT_EQ(needs.openness == Openness::kRights, !needs.needs.empty()) << entry.full_name;
    EXPECT_EQ(static_cast<size_t>(entry.rpc), i) << entry.full_name;
  }
  EXPECT_EQ(EntryOf(Rpc::kGoogleSeek).access.needs.front().right, Right::kSubscriptionsConsume);
  EXPECT_EQ(RightOn(Right::kTopicsSetPolicy, "projects/p/subscriptions/s"),
            Right::kSubscriptionsSetPolicy);
  EXPECT_EQ(RightOn(Right::kTopicsGetPolicy, "projects/p/snapshots/s"), Right::kSnapshotsGetPolicy);
  EXPECT_EQ(RightOn(Right::kTopicsGetPolicy, "projects/p/topics/t"), Right::kTopicsGetPolicy);
  EXPECT_EQ(RightOn(Right::kTopicsGet, "projects/p/subscriptions/s"), Right::kTopicsGet);
}

TEST(StoredPolicyTest, GrantsToEachKindOfMember) {
  const auto file = Parsed("groups: {team: [token:ci]}");
  const auto grants = [&](const std::string& member, std::string_view principal,
                          bool condition = false) {
    google::iam::v1::Policy policy;
    auto& binding = *policy.add_bindings();
    binding.set_role("roles/pubsub.publisher");
    binding.add_members(member);
    if (condition) binding.mutable_condition()->set_expression("true");
    return StoredPolicyGrants(policy.SerializeAsString(), *file, principal, Right::kTopicsPublish);
  };
  EXPECT_TRUE(grants("allUsers", kAnonymous));
  EXPECT_FALSE(grants("allAuthenticatedUsers", kAnonymous));
  EXPECT_TRUE(grants("allAuthenticatedUsers", "token:ci"));
  EXPECT_TRUE(grants("user:alice", "jwt:alice"));
  EXPECT_FALSE(grants("user:alice", "token:alice")) << "a name in another kind is somebody else";
  EXPECT_TRUE(grants("serviceAccount:alice", "jwt:alice"));
  EXPECT_TRUE(grants("group:team", "token:ci"));
  EXPECT_FALSE(grants("group:team", "token:other"));
  EXPECT_TRUE(grants("principal:token:ci", "token:ci"));
  EXPECT_FALSE(grants("principal:token:c", "token:ci"));
  EXPECT_FALSE(grants("domain:example.com", "jwt:alice@example.com"));
  EXPECT_FALSE(grants("allUsers", "token:ci", /*condition=*/true));
  EXPECT_FALSE(StoredPolicyGrants("", *file, "token:ci", Right::kTopicsPublish));
  EXPECT_FALSE(StoredPolicyGrants("\xff\xff", *file, "token:ci", Right::kTopicsPublish));
}

TEST(PolicyTest, QuotasAreOfEachMemberAndOfEachProject) {
  const auto policy = Parsed(kTwoTeams);
  EXPECT_TRUE(policy->has_quotas());
  EXPECT_EQ(policy->QuotaOfMember("token:ci").messages_per_second, 100);
  EXPECT_FALSE(policy->QuotaOfMember("token:other").any());
  EXPECT_EQ(policy->QuotaOfProject("projects/a").bytes_per_second, 1024);
  EXPECT_FALSE(policy->QuotaOfProject("projects/b").any());
}

}  // namespace
}  // namespace sluice::server
