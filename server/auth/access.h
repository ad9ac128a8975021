// Who may do what: every RPC of the server comes by here once, a stream once for what it is about.
//
//   auto caller = access.Identify(*call, Rpc::kPublish);
//   if (!caller.ok()) ...
//   absl::Status may = access.Check(*caller, Rpc::kPublish, Right::kTopicsPublish, "projects/p/topics/t");
//
// Until there is a policy, tokens, keys or certificates that say who calls, nobody is asked. From then on what is not granted, by
// the policy file or by the policy of the resource, is denied. It is looked at before anything else of a request, so that whoever
// has no right learns nothing about what there is.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "server/audit/audit_log.h"
#include "server/auth/auth_options.h"
#include "server/auth/authenticator.h"
#include "server/auth/identity.h"
#include "server/auth/policy.h"
#include "server/auth/rights.h"

namespace sluice::server {

// What an open stream was allowed.
struct StreamAccess {
  Caller caller;
  Rpc rpc;
  Right right;
  std::string resource;
};

// What the client calls its request (x-request-id), up to 128 bytes of it; empty where it does not.
std::string RequestIdOf(const grpc::CallbackServerContext& call);

class Access {
 public:
  // The serialized google.iam.v1.Policy of a resource; empty without one.
  using StoredPolicy = std::function<std::string(std::string_view resource)>;

  // Errors of the files that the options name.
  static absl::StatusOr<std::unique_ptr<Access>> Create(const AuthOptions& options, const Clock& clock, AuditLog& audit,
                                                        SecurityMetrics& metrics);

  bool enabled() const { return options_.enabled(); }
  // Before the first call.
  void SetStoredPolicy(StoredPolicy stored) { stored_ = std::move(stored); }

  // Who calls; an error ends the call.
  absl::StatusOr<Caller> Identify(const grpc::CallbackServerContext& call, Rpc rpc);
  // UNAUTHENTICATED (CREDENTIALS_MISSING) for somebody unknown, else PERMISSION_DENIED.
  absl::Status Check(const Caller& caller, Rpc rpc, Right right, std::string_view resource);
  // For what a stream is about; the same, and it counts as a change of nothing.
  absl::Status CheckAgain(const StreamAccess& stream);
  // All of it for a call with a message: who, whether they may, a line in the audit log if it changes something. `*caller` says who.
  absl::Status Authorise(const grpc::CallbackServerContext& call, Rpc rpc, const google::protobuf::Message& request,
                         Caller* caller);
  // The same for a call whose message is read otherwise, and needs one right on one resource.
  absl::Status Authorise(const grpc::CallbackServerContext& call, Rpc rpc, std::string_view resource, Caller* caller);
  // Whether a page of HTTP may be seen that names what there is: the right to view the server. `authorization` may be empty.
  absl::Status MayView(std::string_view authorization, const std::string& peer, std::string_view page);
  // Whether they may, without a word in the audit log.
  bool Allowed(const Caller& caller, Right right, std::string_view resource);
  // How much each may publish, as the policy has it now.
  AdmissionQuotas Quotas() const EXCLUDES(mu_);
  // What became of a change that was allowed, if it was not made.
  void ChangeFailed(const Caller& caller, Rpc rpc, const absl::Status& status);

  // The files are read again; an error leaves what there is.
  absl::Status ReloadPolicy();
  absl::Status ReloadTokens();
  absl::Status ReloadKeys();
  // The policy of a resource was changed.
  void PolicyChanged();
  // From now on every call is refused so. Once.
  void Close(absl::Status why) {
    closed_why_ = std::move(why);
    closed_.store(true, std::memory_order_release);
  }
  // Goes up with each change of what is allowed, and of who is who.
  uint64_t generation() const {
    return generation_.load(std::memory_order_acquire) + (authenticator_ != nullptr ? authenticator_->generation() : 0);
  }

 private:
  struct Decision {
    bool allowed = false;
    Instant until;
  };
  static constexpr size_t kShards = 16;
  static constexpr size_t kMaxDecisionsPerShard = 4096;
  struct Shard {
    Mutex mu;
    absl::flat_hash_map<std::string, Decision> decisions GUARDED_BY(mu);
  };

  Access(const AuthOptions& options, const Clock& clock, AuditLog& audit, SecurityMetrics& metrics)
      : options_(options), clock_(clock), audit_(audit), metrics_(metrics) {}

  std::shared_ptr<const Policy> policy() const EXCLUDES(mu_);
  Decision Decide(std::string_view principal, Right right, std::string_view resource) const;
  absl::Status Denied(Caller caller, std::string_view method, Right right, std::string_view resource);
  absl::Status AuditChange(const Caller& caller, Rpc rpc, std::string_view resource);

  const AuthOptions options_;
  const Clock& clock_;
  AuditLog& audit_;
  SecurityMetrics& metrics_;
  StoredPolicy stored_;
  std::unique_ptr<Authenticator> authenticator_;
  std::atomic<uint64_t> generation_ = 0;
  // Set before closed_.
  absl::Status closed_why_;
  std::atomic<bool> closed_ = false;
  mutable Mutex mu_;
  std::shared_ptr<const Policy> policy_ GUARDED_BY(mu_) = std::make_shared<const Policy>();
  std::array<Shard, kShards> shards_;
};

}  // namespace sluice::server
