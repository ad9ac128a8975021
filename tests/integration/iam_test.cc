// google.iam.v1.IAMPolicy: policies are kept, not enforced.
#include "gmock/gmock.h"
#include "google/iam/v1/iam_policy.grpc.pb.h"
#include "tests/integration/google_fixture.h"

namespace sluice::server {
namespace {

namespace iam = google::iam::v1;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class IamTest : public GoogleTest {
 protected:
  void SetUp() override {
    GoogleTest::SetUp();
    Reconnect();
  }
  void Reconnect() { iam_ = iam::IAMPolicy::NewStub(client_->channel()); }

  static iam::SetIamPolicyRequest SetRequest(const std::string& resource, const std::string& role,
                                             const std::vector<std::string>& members) {
    iam::SetIamPolicyRequest request;
    request.set_resource(resource);
    auto& binding = *request.mutable_policy()->add_bindings();
    binding.set_role(role);
    for (const std::string& member : members) binding.add_members(member);
    return request;
  }
  grpc::Status Set(const iam::SetIamPolicyRequest& request) {
    return Call(*iam_, &iam::IAMPolicy::Stub::SetIamPolicy, request, &policy_);
  }
  grpc::Status Get(const std::string& resource) {
    iam::GetIamPolicyRequest request;
    request.set_resource(resource);
    return Call(*iam_, &iam::IAMPolicy::Stub::GetIamPolicy, request, &policy_);
  }
  std::vector<std::string> Test(const std::string& resource,
                                const std::vector<std::string>& permissions) {
    iam::TestIamPermissionsRequest request;
    iam::TestIamPermissionsResponse response;
    request.set_resource(resource);
    for (const std::string& permission : permissions) request.add_permissions(permission);
    EXPECT_TRUE(Call(*iam_, &iam::IAMPolicy::Stub::TestIamPermissions, request, &response).ok());
    return {response.permissions().begin(), response.permissions().end()};
  }

  iam::Policy policy_;
  std::unique_ptr<iam::IAMPolicy::Stub> iam_;
};

TEST_P(IamTest, AResourceWithoutAPolicyHasNoVersionAndNoBindings) {
  MakeBoth();
  for (const std::string& resource : {TopicPath("orders"), SubscriptionPath("orders")}) {
    ASSERT_TRUE(Get(resource).ok());
    EXPECT_EQ(policy_.version(), 0) << resource;
    EXPECT_THAT(policy_.bindings(), IsEmpty()) << resource;
    // What was shown may be set back.
    iam::SetIamPolicyRequest request;
    request.set_resource(resource);
    *request.mutable_policy() = policy_;
    EXPECT_TRUE(Set(request).ok());
    ASSERT_TRUE(Set(SetRequest(resource, "roles/pubsub.viewer", {"allUsers"})).ok());
    EXPECT_EQ(policy_.version(), 1);
  }
}

TEST_P(IamTest, EachKindOfResourceKeepsItsPolicyAlsoWhenItIsUpdated) {
  MakeBoth();
  pubsub::CreateSnapshotRequest snapshot;
  pubsub::Snapshot made;
  snapshot.set_name("projects/test/snapshots/before");
  snapshot.set_subscription(SubscriptionPath("orders"));
  ASSERT_TRUE(Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSnapshot, snapshot, &made).ok());
  const std::vector<std::string> resources = {TopicPath("orders"), SubscriptionPath("orders"),
                                              snapshot.name()};
  for (const std::string& resource : resources) {
    ASSERT_TRUE(Get(resource).ok());
    EXPECT_THAT(policy_.bindings(), IsEmpty());
    ASSERT_TRUE(Set(SetRequest(resource, "roles/" + resource, {"allUsers"})).ok());
  }
  pubsub::Subscription wanted;
  (*wanted.mutable_labels())["a"] = "b";
  ASSERT_TRUE(Update("labels", wanted).ok());
  for (const std::string& resource : resources) {
    ASSERT_TRUE(Get(resource).ok());
    ASSERT_THAT(policy_.bindings(), SizeIs(1)) << resource;
    EXPECT_EQ(policy_.bindings(0).role(), "roles/" + resource);
  }
  if (GetParam() == StoreKind::kMemory) return;
  server_ = nullptr;
  Start();
  Reconnect();
  for (const std::string& resource : resources) {
    ASSERT_TRUE(Get(resource).ok());
    EXPECT_THAT(policy_.bindings(), SizeIs(1)) << resource;
  }
}

TEST_P(IamTest, AChangeOfAnotherStateIsAborted) {
  MakeBoth();
  ASSERT_TRUE(Get(TopicPath("orders")).ok());
  auto first = SetRequest(TopicPath("orders"), "roles/viewer", {"user:a@example.com"});
  first.mutable_policy()->set_etag(policy_.etag());
  ASSERT_TRUE(Set(first).ok());
  EXPECT_EQ(CodeAndReason(Set(first)), "ABORTED/CONCURRENT_CHANGE");
  first.mutable_policy()->set_etag(policy_.etag());
  EXPECT_TRUE(Set(first).ok());
}

TEST_P(IamTest, WhatTheMaskDoesNotNameStays) {
  MakeBoth();
  auto audited = SetRequest(TopicPath("orders"), "roles/viewer", {"allUsers"});
  audited.mutable_policy()->add_audit_configs()->set_service("allServices");
  audited.mutable_update_mask()->add_paths("audit_configs");
  ASSERT_TRUE(Set(audited).ok());
  EXPECT_THAT(policy_.bindings(), IsEmpty());
  ASSERT_TRUE(Set(SetRequest(TopicPath("orders"), "roles/viewer", {"allUsers"})).ok());
  EXPECT_THAT(policy_.audit_configs(), SizeIs(1));
  audited.mutable_update_mask()->add_paths("nonsense");
  EXPECT_EQ(CodeAndReason(Set(audited)), "INVALID_ARGUMENT/INVALID_UPDATE_MASK");
}

TEST_P(IamTest, WhatCannotBeAPolicyIsRefused) {
  MakeBoth();
  const std::string topic = TopicPath("orders");
  EXPECT_EQ(CodeAndReason(Set(SetRequest(topic, "viewer", {"allUsers"}))),
            "INVALID_ARGUMENT/INVALID_POLICY");
  EXPECT_EQ(CodeAndReason(Set(SetRequest(topic, "roles/viewer", {"a@example.com"}))),
            "INVALID_ARGUMENT/INVALID_POLICY");
  const std::vector<std::string> most(1500, "allUsers");
  EXPECT_TRUE(Set(SetRequest(topic, "roles/viewer", most)).ok());
  const std::vector<std::string> too_many(1501, "allUsers");
  EXPECT_EQ(CodeAndReason(Set(SetRequest(topic, "roles/viewer", too_many))),
            "INVALID_ARGUMENT/INVALID_POLICY");
  auto version = SetRequest(topic, "roles/viewer", {"allUsers"});
  version.mutable_policy()->set_version(2);
  EXPECT_EQ(CodeAndReason(Set(version)), "INVALID_ARGUMENT/INVALID_POLICY");
  version.mutable_policy()->set_version(1);
  version.mutable_policy()->mutable_bindings(0)->mutable_condition()->set_expression("true");
  EXPECT_EQ(CodeAndReason(Set(version)), "INVALID_ARGUMENT/INVALID_POLICY");
  iam::SetIamPolicyRequest none;
  none.set_resource(topic);
  EXPECT_EQ(CodeAndReason(Set(none)), "INVALID_ARGUMENT/INVALID_REQUEST");
  EXPECT_EQ(CodeAndReason(Set(SetRequest("projects/test", "roles/viewer", {}))),
            "INVALID_ARGUMENT/INVALID_NAME");
}

TEST_P(IamTest, OfWhatIsNotThereNobodyHasAPermissionAndNothingElseIsKnown) {
  MakeBoth();
  EXPECT_EQ(CodeAndReason(Get(TopicPath("nothing"))), "NOT_FOUND/TOPIC_NOT_FOUND");
  EXPECT_THAT(Test(TopicPath("nothing"), {"pubsub.topics.publish"}), IsEmpty());
  EXPECT_THAT(Test(TopicPath("orders"), {"pubsub.topics.publish", "pubsub.subscriptions.consume"}),
              ElementsAre("pubsub.topics.publish"));
}

SLUICE_OVER_EVERY_STORE(IamTest);

}  // namespace
}  // namespace sluice::server
