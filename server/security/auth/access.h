// Who may do what: it says who calls, and whether they have a right on a resource.
// server/rpc/authorization.h asks it for each call.
//
//   auto caller = access.Identify(*call, "sluice.v1.PubSub/Publish");
//   if (!caller.ok()) ...
//   absl::Status may = access.Check(*caller, "sluice.v1.PubSub/Publish", Right::kTopicsPublish, "projects/p/topics/t");
//
// The method is for the audit log.
//
// Until there is a policy, tokens, keys or certificates that say who calls, nobody is asked. From
// then on what is not granted, by the policy file or by the policy of the resource, is denied. It
// is looked at before anything else of a request, so that whoever has no right learns nothing about
// what there is.
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
#include "grpcpp/server_context.h"
#include "server/security/audit/audit_log.h"
#include "server/security/auth/auth_options.h"
#include "server/security/auth/authenticator.h"
#include "server/security/auth/identity.h"
#include "server/security/auth/policy.h"
#include "server/security/auth/rights.h"

namespace sluice::server {

// What an open stream was allowed.
struct StreamAccess {
  Caller caller;
  // Of a text that stays.
  std::string_view method;
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
  static absl::StatusOr<std::unique_ptr<Access>> Create(const AuthOptions& options,
                                                        const Clock& clock, AuditLog& audit,
                                                        SecurityMetrics& metrics);

  bool enabled() const { return options_.enabled(); }
  // Before the first call.
  void SetStoredPolicy(StoredPolicy stored) { stored_ = std::move(stored); }

  // Who calls; an error ends the call.
  absl::StatusOr<Caller> Identify(const grpc::CallbackServerContext& call, std::string_view method);
  // Where nobody is asked who they are: whom the audit log names.
  static Caller Anybody(const grpc::CallbackServerContext& call);
  // UNAUTHENTICATED (CREDENTIALS_MISSING) for somebody unknown, else PERMISSION_DENIED.
  absl::Status Check(const Caller& caller, std::string_view method, Right right,
                     std::string_view resource);
  // For what a stream is about; the same, and it counts as a change of nothing.
  absl::Status CheckAgain(const StreamAccess& stream);
  // The status that Close() gave, if it was called.
  absl::Status CheckOpen() const {
    return closed_.load(std::memory_order_acquire) ? closed_why_ : absl::OkStatus();
  }
  bool audits() const { return audit_.enabled(); }
  // A line in the audit log: they may change this. An error when it has to be there and cannot be
  // written: then nothing is to be changed. Names the request if the client did not.
  absl::Status AuditChange(Caller* caller, std::string_view method, std::string_view resource);
  // What became of a change that was allowed, if it was not made.
  void AuditFailure(const Caller& caller, std::string_view method, const absl::Status& status);
  // Whether a page of HTTP may be seen that names what there is: the right to view the server.
  // `authorization` may be empty.
  absl::Status MayView(std::string_view authorization, const std::string& peer,
                       std::string_view page);
  // Whether they may, without a word in the audit log.
  bool Allowed(const Caller& caller, Right right, std::string_view resource);
  // How much each may publish, as the policy has it now.
  AdmissionQuotas Quotas() const EXCLUDES(mu_);

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
    return generation_.load(std::memory_order_acquire) +
           (authenticator_ != nullptr ? authenticator_->generation() : 0);
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
  absl::Status Denied(Caller caller, std::string_view method, Right right,
                      std::string_view resource);

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
