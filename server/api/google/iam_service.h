// google.iam.v1.IAMPolicy: a policy for each topic, subscription and snapshot, kept with it. It
// grants rights beside the policy file (server/security/auth/stored_policy.h) once callers are
// asked who they are; until then whoever reaches the server may do everything, which is what
// TestIamPermissions says.
//
// Thread rule: gRPC calls it from its own threads; constant after construction.
#pragma once

#include "google/iam/v1/iam_policy.grpc.pb.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/service_context.h"

namespace sluice::server {

class GoogleIam final : public google::iam::v1::IAMPolicy::CallbackService {
 public:
  explicit GoogleIam(ServiceContext& context) : context_(context) {}

  using Call = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* SetIamPolicy(Call*, const google::iam::v1::SetIamPolicyRequest*,
                        google::iam::v1::Policy*) override;
  Reactor* GetIamPolicy(Call*, const google::iam::v1::GetIamPolicyRequest*,
                        google::iam::v1::Policy*) override;
  Reactor* TestIamPermissions(Call*, const google::iam::v1::TestIamPermissionsRequest*,
                              google::iam::v1::TestIamPermissionsResponse*) override;

 private:
  ServiceContext& context_;
};

// The serialized policy of a topic, a subscription or a snapshot; empty without one.
std::string StoredPolicyOf(const Engine& engine, std::string_view resource);

}  // namespace sluice::server
