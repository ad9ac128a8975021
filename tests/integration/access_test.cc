// Who may do what, through real calls: every RPC there is, two teams that cannot see each other,
// streams that end when rights do.
#include "gmock/gmock.h"
#include "google/iam/v1/iam_policy.grpc.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/dynamic_message.h"
#include "google/pubsub/v1/pubsub.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/health_check_service_interface.h"
#include "server/security/auth/rights.h"
#include "tests/integration/security_fixture.h"

namespace sluice::server {
namespace {

using testing::Contains;
using testing::HasSubstr;

constexpr char kTwoTeams[] = R"(
bindings:
  - {role: editor, members: [token:a], resources: [projects/team-a/*]}
  - {role: editor, members: [token:b], resources: [projects/team-b/*]}
  - {role: admin, members: [token:root], resources: ["*"]}
)";
const char* const kServices[] = {"sluice.v1.PubSub", "sluice.v1.Admin",
                                 "google.pubsub.v1.Publisher", "google.pubsub.v1.Subscriber",
                                 "google.iam.v1.IAMPolicy"};

class AccessTest : public SecurityTest {
 protected:
  void SetUp() override {
    UseTokens({"a", "b", "root"});
    UsePolicy(kTwoTeams);
    Start();
  }

  // One request to a method, by its name; the status that it ends with.
  grpc::Status CallRaw(const std::string& token, const std::string& method,
                       const std::string& request) {
    grpc::GenericStub stub(client_->channel());
    grpc::ClientContext context;
    Prepare(&context, token);
    grpc::CompletionQueue queue;
    auto call = stub.PrepareCall(&context, method, &queue);
    const auto next = [&] {
      void* tag = nullptr;
      bool ok = false;
      queue.Next(&tag, &ok);
      return ok;
    };
    call->StartCall(nullptr);
    next();
    grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    next();
    grpc::ByteBuffer response;
    do {
      call->Read(&response, nullptr);
    } while (next());
    grpc::Status status;
    call->Finish(&status, nullptr);
    next();
    return status;
  }
};

// The string at a path of fields is set.
void SetField(google::protobuf::Message* message, std::string_view path, const std::string& value) {
  const size_t dot = path.find('.');
  const auto* field = message->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
  ASSERT_NE(field, nullptr) << message->GetDescriptor()->full_name() << " has no " << path;
  if (dot == path.npos) return message->GetReflection()->SetString(message, field, value);
  SetField(message->GetReflection()->MutableMessage(message, field), path.substr(dot + 1), value);
}

std::string ResourceFor(Right right) {
  const std::string_view name = NameOf(right);
  if (name.find(".list") != name.npos) return "projects/team-b";
  if (name.find("subscriptions.") != name.npos) return "projects/team-b/subscriptions/billing";
  return name.find("snapshots.") != name.npos ? "projects/team-b/snapshots/before"
                                              : "projects/team-b/topics/orders";
}

std::optional<Rpc> RpcOf(const std::string& service, const std::string& method) {
  for (size_t i = 0; i < kRpcCount; ++i) {
    const RpcEntry& entry = EntryOf(static_cast<Rpc>(i));
    if (entry.service() == service && entry.method() == method) return entry.rpc;
  }
  return std::nullopt;
}

TEST_F(AccessTest, EveryRpcThereIsHasARightAndAsksForIt) {
  google::protobuf::DynamicMessageFactory factory;
  int methods = 0;
  for (const char* service_name : kServices) {
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service_name);
    ASSERT_NE(service, nullptr) << service_name;
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      const std::string name = "/" + service->full_name() + "/" + method->name();
      const auto rpc = RpcOf(service->full_name(), method->name());
      ASSERT_TRUE(rpc) << name << " is not in the table of rights";
      const Needs& needs = EntryOf(*rpc).access;
      ++methods;
      const std::unique_ptr<google::protobuf::Message> request(
          factory.GetPrototype(method->input_type())->New());
      for (const Need& need : needs.needs) {
        if (!need.field.empty() && !need.optional)
          SetField(request.get(), need.field, ResourceFor(need.right));
      }
      // Of rights that are all optional one is asked for.
      if (!needs.needs.empty() && needs.needs.front().optional) {
        SetField(request.get(), needs.needs.front().field, ResourceFor(needs.needs.front().right));
      }
      const std::string bytes = request->SerializeAsString();
      EXPECT_EQ(CodeAndReason(CallRaw("", name, bytes)), "UNAUTHENTICATED/CREDENTIALS_MISSING")
          << name;
      if (needs.openness != Openness::kRights) continue;
      EXPECT_EQ(CodeAndReason(CallRaw("a", name, bytes)), "PERMISSION_DENIED/PERMISSION_DENIED")
          << name;
      const grpc::Status root = CallRaw("root", name, bytes);
      EXPECT_NE(root.error_code(), grpc::StatusCode::PERMISSION_DENIED) << name;
      EXPECT_NE(root.error_code(), grpc::StatusCode::UNAUTHENTICATED) << name;
    }
  }
  EXPECT_EQ(methods, static_cast<int>(kRpcCount) - 1)
      << "and the table has no RPC that there is not";
}

TEST_F(AccessTest, EachRightOfACallWithSeveralIsAskedFor) {
  ASSERT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
  ASSERT_TRUE(CreateTopicAs("b", "projects/team-b/topics/orders").ok());
  const auto create = [&](const std::string& topic, const std::string& dead_letters) {
    v1::CreateSubscriptionRequest request;
    v1::CreateSubscriptionResponse response;
    request.mutable_subscription()->set_name("projects/team-a/subscriptions/billing");
    request.mutable_subscription()->set_topic(topic);
    if (!dead_letters.empty()) {
      request.mutable_subscription()->mutable_dead_letter_policy()->set_dead_letter_topic(
          dead_letters);
    }
    return CodeAndReason(
        As("a", *Admin(), &v1::Admin::Stub::CreateSubscription, request, &response));
  };
  EXPECT_EQ(create("projects/team-b/topics/orders", ""), "PERMISSION_DENIED/PERMISSION_DENIED")
      << "to read what others publish";
  EXPECT_EQ(create("projects/team-a/topics/orders", "projects/team-b/topics/orders"),
            "PERMISSION_DENIED/PERMISSION_DENIED")
      << "to publish where one may not";
  EXPECT_EQ(create("projects/team-a/topics/orders", "projects/team-a/topics/orders"),
            "INVALID_ARGUMENT/INVALID_DEAD_LETTER_POLICY");
  EXPECT_EQ(create("projects/team-a/topics/orders", ""), "OK");
}

TEST_F(AccessTest, NamesCannotBeGuessedFromErrors) {
  ASSERT_TRUE(CreateTopicAs("b", "projects/team-b/topics/there").ok());
  const grpc::Status there = GetTopicAs("a", "projects/team-b/topics/there");
  const grpc::Status not_there = GetTopicAs("a", "projects/team-b/topics/hidden");
  EXPECT_EQ(CodeAndReason(there), "PERMISSION_DENIED/PERMISSION_DENIED");
  EXPECT_EQ(CodeAndReason(not_there), CodeAndReason(there));
  EXPECT_EQ(CodeAndReason(GetTopicAs("a", "projects/team-b/topics/!")), CodeAndReason(there))
      << "nor from names that are none";
  EXPECT_EQ(CodeAndReason(CreateTopicAs("a", "projects/team-b/topics/there")),
            CodeAndReason(there));
  EXPECT_EQ(CodeAndReason(PublishAs("a", "projects/team-b/topics/there")),
            CodeAndReason(PublishAs("a", "projects/team-b/topics/nothing")));
  EXPECT_THAT(there.error_message(),
              HasSubstr("token:a may not pubsub.topics.get on projects/team-b/topics/there"));
  EXPECT_EQ(InfoOf(there).metadata().at("right"), "pubsub.topics.get");
}

TEST_F(AccessTest, BadCredentialsAreToldAndThenHeldBack) {
  ASSERT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
  const auto guess = [&] {
    return CodeAndReason(GetTopicAs("guess", "projects/team-a/topics/orders"));
  };
  int told = 0;
  std::string last = guess();
  // A machine that is slow gets another try for each second.
  for (; told < 1000 && last == "UNAUTHENTICATED/CREDENTIALS_INVALID"; last = guess()) ++told;
  EXPECT_GE(told, 11);
  EXPECT_EQ(last, "RESOURCE_EXHAUSTED/TOO_MANY_FAILURES");
  EXPECT_TRUE(GetTopicAs("a", "projects/team-a/topics/orders").ok()) << "who is known goes on";
}

TEST_F(AccessTest, AStreamEndsWhenItsRightIsTakenAway) {
  ASSERT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
  grpc::ClientContext context;
  Prepare(&context, "a");
  auto stream = client_->pubsub().Publish(&context);
  v1::PublishRequest request;
  request.set_topic("projects/team-a/topics/orders");
  request.add_messages()->set_data("x");
  v1::PublishResponse response;
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  UsePolicy("bindings:\n  - {role: viewer, members: [token:a], resources: [projects/team-a/*]}");
  server_->Reload();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(CodeAndReason(stream->Finish()), "PERMISSION_DENIED/PERMISSION_DENIED");
  EXPECT_EQ(CodeAndReason(PublishAs("a", "projects/team-a/topics/orders")),
            "PERMISSION_DENIED/PERMISSION_DENIED");
}

TEST_F(AccessTest, AStreamEndsWhenItsTokenIsTakenAway) {
  ASSERT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
  grpc::ClientContext context;
  Prepare(&context, "a");
  auto stream = client_->pubsub().Subscribe(&context);
  v1::SubscribeRequest request;
  request.mutable_ephemeral()->set_topic("projects/team-a/topics/orders");
  v1::SubscribeResponse response;
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  // Seen without being told.
  UseTokens({"b", "root"});
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(CodeAndReason(stream->Finish()), "UNAUTHENTICATED/CREDENTIALS_INVALID");
}

TEST_F(AccessTest, ABrokenPolicyLeavesTheOneBefore) {
  UsePolicy("bindings: [");
  server_->Reload();
  WaitUntil([&] { return server_->security_metrics().policy.failed.value() > 0; });
  EXPECT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
}

TEST_F(AccessTest, APolicyOfAResourceGrantsBesideTheFile) {
  namespace iam = google::iam::v1;
  ASSERT_TRUE(CreateTopicAs("b", "projects/team-b/topics/orders").ok());
  ASSERT_FALSE(PublishAs("a", "projects/team-b/topics/orders").ok());
  auto stub = iam::IAMPolicy::NewStub(client_->channel());
  iam::SetIamPolicyRequest request;
  iam::Policy policy;
  request.set_resource("projects/team-b/topics/orders");
  auto& binding = *request.mutable_policy()->add_bindings();
  binding.set_role("roles/pubsub.publisher");
  binding.add_members("principal:token:a");
  EXPECT_EQ(CodeAndReason(As("b", *stub, &iam::IAMPolicy::Stub::SetIamPolicy, request, &policy)),
            "PERMISSION_DENIED/PERMISSION_DENIED")
      << "an editor does not decide over others";
  ASSERT_TRUE(As("root", *stub, &iam::IAMPolicy::Stub::SetIamPolicy, request, &policy).ok());
  EXPECT_TRUE(PublishAs("a", "projects/team-b/topics/orders").ok());
  EXPECT_FALSE(GetTopicAs("a", "projects/team-b/topics/orders").ok());

  iam::TestIamPermissionsRequest test;
  iam::TestIamPermissionsResponse tested;
  test.set_resource("projects/team-b/topics/orders");
  test.add_permissions("pubsub.topics.publish");
  test.add_permissions("pubsub.topics.delete");
  ASSERT_TRUE(As("a", *stub, &iam::IAMPolicy::Stub::TestIamPermissions, test, &tested).ok());
  EXPECT_THAT(tested.permissions(), testing::ElementsAre("pubsub.topics.publish"));
}

TEST_F(AccessTest, WhatAnAdministratorDoesAndWhatIsDeniedIsWrittenDown) {
  server_ = nullptr;
  UseAudit();
  Start();
  ASSERT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
  ASSERT_FALSE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
  ASSERT_FALSE(CreateTopicAs("a", "projects/team-b/topics/orders").ok());
  ASSERT_TRUE(PublishAs("a", "projects/team-a/topics/orders").ok());
  ASSERT_FALSE(GetTopicAs("guess", "projects/team-a/topics/orders").ok());
  UsePolicy(kTwoTeams);
  server_->Reload();
  WaitUntil([&] { return server_->security_metrics().policy.ok.value() > 0; });
  const auto lines = AuditLines();
  ASSERT_GE(lines.size(), 6u);
  EXPECT_EQ(lines[0]["decision"], "allowed");
  EXPECT_EQ(lines[0]["identity"], "token:a");
  EXPECT_EQ(lines[0]["rpc"], "sluice.v1.Admin/CreateTopic");
  EXPECT_EQ(lines[0]["resource"], "projects/team-a/topics/orders");
  EXPECT_THAT(std::string(lines[0]["peer"]), HasSubstr("127.0.0.1"));
  EXPECT_EQ(lines[1]["decision"], "allowed");
  EXPECT_EQ(lines[2]["decision"], "failed");
  EXPECT_EQ(lines[2]["reason"], "TOPIC_EXISTS");
  EXPECT_EQ(lines[2]["request_id"], lines[1]["request_id"]);
  EXPECT_EQ(lines[3]["decision"], "denied");
  EXPECT_EQ(lines[3]["reason"], "PERMISSION_DENIED pubsub.topics.create");
  EXPECT_EQ(lines[4]["event"], "authentication");
  EXPECT_THAT(std::string(lines[4]["reason"]), HasSubstr("CREDENTIALS_INVALID"));
  EXPECT_EQ(lines[5]["event"], "reload");
  for (const auto& line : lines)
    EXPECT_THAT(line.dump(), testing::Not(HasSubstr("sluice_"))) << "no secret";
}

TEST_F(AccessTest, WithoutAnAuditLogThatCanBeWrittenNothingIsChanged) {
  server_ = nullptr;
  options_.audit.file = "/dev/full";
  Start();
  EXPECT_EQ(CodeAndReason(CreateTopicAs("a", "projects/team-a/topics/orders")),
            "UNAVAILABLE/AUDIT_UNAVAILABLE");
  EXPECT_EQ(CodeAndReason(GetTopicAs("a", "projects/team-a/topics/orders")),
            "NOT_FOUND/TOPIC_NOT_FOUND")
      << "it was not made";
  server_ = nullptr;
  options_.audit.required = false;
  Start();
  EXPECT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
}

TEST_F(AccessTest, AQuotaOfTheCallerIsHeld) {
  server_ = nullptr;
  UsePolicy(std::string(kTwoTeams) + "quotas:\n  - {members: [token:a], messages_per_second: 1}\n");
  Start();
  ASSERT_TRUE(CreateTopicAs("a", "projects/team-a/topics/orders").ok());
  ASSERT_TRUE(CreateTopicAs("b", "projects/team-b/topics/orders").ok());
  // Three more than there are, so that nobody waits for the two seconds and more that it takes.
  grpc::Status status;
  for (int i = 0; i < 50 && status.ok(); ++i)
    status = PublishAs("a", "projects/team-a/topics/orders", 4);
  EXPECT_EQ(CodeAndReason(status), "RESOURCE_EXHAUSTED/QUOTA_EXCEEDED");
  EXPECT_EQ(InfoOf(status).metadata().at("scope"), "identity");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(PublishAs("b", "projects/team-b/topics/orders").ok());
}

TEST_F(AccessTest, WithoutAnythingSetNobodyIsAsked) {
  server_ = nullptr;
  options_.auth = {};
  Start();
  EXPECT_TRUE(CreateTopicAs("", "projects/team-a/topics/orders").ok());
  EXPECT_TRUE(PublishAs("whoever", "projects/team-a/topics/orders").ok());
}

}  // namespace
}  // namespace sluice::server
