#include "server/security/auth/access.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "server/security/auth/stored_policy.h"

namespace sluice::server {
namespace {

// What hangs on the policy of a resource, which goes with the resource, is looked at again after
// this.
constexpr absl::Duration kStoredPolicyAge = absl::Seconds(1);
constexpr size_t kMaxRequestIdBytes = 128;

std::string_view ToStd(const grpc::string_ref& text) { return {text.data(), text.size()}; }

// Where a call comes from; not who makes it.
Caller CallerOf(const grpc::CallbackServerContext& call) {
  return {nullptr, call.peer(), RequestIdOf(call)};
}

void MakeUpRequestId(Caller* caller) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  if (caller->request_id.empty()) caller->request_id = fmt::format("{:016x}", random());
}

// The SPIFFE URI of the connection's certificate, or its subject.
std::string CertificateOf(const grpc::CallbackServerContext& call) {
  const auto auth = call.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return "";
  for (const char* property :
       {GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, GRPC_X509_SUBJECT_PROPERTY_NAME}) {
    const auto values = auth->FindPropertyValues(property);
    if (!values.empty()) return std::string(ToStd(values.front()));
  }
  return "";
}

}  // namespace

std::string RequestIdOf(const grpc::CallbackServerContext& call) {
  const auto found = call.client_metadata().find("x-request-id");
  return found == call.client_metadata().end()
             ? ""
             : std::string(ToStd(found->second).substr(0, kMaxRequestIdBytes));
}

absl::StatusOr<std::unique_ptr<Access>> Access::Create(const AuthOptions& options,
                                                       const Clock& clock, AuditLog& audit,
                                                       SecurityMetrics& metrics) {
  auto access = std::unique_ptr<Access>(new Access(options, clock, audit, metrics));
  if (!options.enabled()) return access;
  auto authenticator = Authenticator::Create(options, clock, metrics);
  if (!authenticator.ok()) return authenticator.status();
  access->authenticator_ = *std::move(authenticator);
  if (absl::Status status = access->ReloadPolicy(); !status.ok()) return status;
  return access;
}

std::shared_ptr<const Policy> Access::policy() const {
  MutexLock lock(mu_);
  return policy_;
}

Caller Access::Anybody(const grpc::CallbackServerContext& call) {
  Caller caller = CallerOf(call);
  caller.identity = std::make_shared<const Identity>();
  return caller;
}

absl::StatusOr<Caller> Access::Identify(const grpc::CallbackServerContext& call,
                                        std::string_view method) {
  if (absl::Status open = CheckOpen(); !open.ok()) return open;
  if (!enabled()) return Caller{};
  Caller caller = CallerOf(call);
  Credentials credentials;
  credentials.peer = caller.peer;
  const auto header = call.client_metadata().find("authorization");
  if (header != call.client_metadata().end()) credentials.authorization = ToStd(header->second);
  const std::string certificate =
      options_.certificates && !credentials.authorization ? CertificateOf(call) : "";
  credentials.certificate = certificate;
  auto identity = authenticator_->Identify(credentials);
  if (identity.ok()) {
    caller.identity = *std::move(identity);
    return caller;
  }
  // Those that are told to wait are counted, and would fill the log.
  const Reason reason = ReasonOf(identity.status()).value_or(Reason::kInternal);
  if (reason != Reason::kTooManyFailures) {
    MakeUpRequestId(&caller);
    const std::string why =
        fmt::format("{}: {}", ReasonName(reason), std::string(identity.status().message()));
    (void)audit_.Write({.event = "authentication",
                        .decision = "denied",
                        .peer = caller.peer,
                        .rpc = method,
                        .reason = why,
                        .request_id = caller.request_id});
  }
  return identity.status();
}

absl::Status Access::MayView(std::string_view authorization, const std::string& peer,
                             std::string_view page) {
  if (!enabled()) return absl::OkStatus();
  Credentials credentials;
  credentials.peer = peer;
  if (!authorization.empty()) credentials.authorization = authorization;
  auto identity = authenticator_->Identify(credentials);
  if (!identity.ok()) return identity.status();
  const Caller caller{*std::move(identity), peer, {}};
  return Allowed(caller, Right::kServerView, kServerResource)
             ? absl::OkStatus()
             : Denied(caller, page, Right::kServerView, kServerResource);
}

Access::Decision Access::Decide(std::string_view principal, Right right,
                                std::string_view resource) const {
  const auto file = policy();
  if (file->Grants(principal, right, resource)) return {true, Instant::Never()};
  const std::string stored = stored_ != nullptr ? stored_(resource) : "";
  return {StoredPolicyGrants(stored, *file, principal, right), clock_.Now() + kStoredPolicyAge};
}

bool Access::Allowed(const Caller& caller, Right right, std::string_view resource) {
  if (!enabled()) return true;
  const std::string& principal = caller.identity->principal;
  std::string key;
  key.reserve(principal.size() + resource.size() + 2);
  key.append(principal).push_back('\0');
  key.push_back(static_cast<char>(right));
  key.append(resource);
  Shard& shard = shards_[std::hash<std::string>()(key) % kShards];
  {
    MutexLock lock(shard.mu);
    const auto found = shard.decisions.find(key);
    if (found != shard.decisions.end() &&
        (found->second.until == Instant::Never() || clock_.RoughNow() < found->second.until)) {
      return found->second.allowed;
    }
  }
  const uint64_t before = generation();
  const Decision decision = Decide(principal, right, resource);
  MutexLock lock(shard.mu);
  if (shard.decisions.size() >= kMaxDecisionsPerShard) shard.decisions.clear();
  // Not what was decided by a policy that is gone.
  if (before == generation()) shard.decisions[std::move(key)] = decision;
  return decision.allowed;
}

absl::Status Access::Denied(Caller caller, std::string_view method, Right right,
                            std::string_view resource) {
  metrics_.denied.Add();
  MakeUpRequestId(&caller);
  const bool anonymous = caller.identity->anonymous();
  absl::Status status =
      anonymous
          ? Error(Reason::kCredentialsMissing,
                  "the call has no credentials; send authorization: Bearer TOKEN")
          : Error(Reason::kPermissionDenied,
                  fmt::format("{} may not {} on {}", caller.identity->principal, NameOf(right),
                              resource),
                  {{"right", std::string(NameOf(right))}, {"resource", std::string(resource)}});
  const std::string reason = fmt::format("{} {}", ReasonName(*ReasonOf(status)), NameOf(right));
  (void)audit_.Write({.event = "call",
                      .decision = "denied",
                      .identity = caller.identity->principal,
                      .peer = caller.peer,
                      .rpc = method,
                      .resource = resource,
                      .reason = reason,
                      .request_id = caller.request_id});
  return status;
}

absl::Status Access::Check(const Caller& caller, std::string_view method, Right right,
                           std::string_view resource) {
  if (!enabled() || Allowed(caller, right, resource)) return absl::OkStatus();
  return Denied(caller, method, right, resource);
}

absl::Status Access::CheckAgain(const StreamAccess& stream) {
  if (!enabled()) return absl::OkStatus();
  if (absl::Status status = authenticator_->StillValid(*stream.caller.identity); !status.ok())
    return status;
  return Check(stream.caller, stream.method, stream.right, stream.resource);
}

absl::Status Access::AuditChange(Caller* caller, std::string_view method,
                                 std::string_view resource) {
  MakeUpRequestId(caller);
  absl::Status status = audit_.Write({.event = "call",
                                      .decision = "allowed",
                                      .identity = caller->identity->principal,
                                      .peer = caller->peer,
                                      .rpc = method,
                                      .resource = resource,
                                      .request_id = caller->request_id});
  return audit_.required() ? status : absl::OkStatus();
}

void Access::AuditFailure(const Caller& caller, std::string_view method,
                          const absl::Status& status) {
  const std::string_view reason = ReasonName(ReasonOf(status).value_or(Reason::kInternal));
  (void)audit_.Write({.event = "call",
                      .decision = "failed",
                      .identity = caller.identity->principal,
                      .peer = caller.peer,
                      .rpc = method,
                      .reason = reason,
                      .request_id = caller.request_id});
}

AdmissionQuotas Access::Quotas() const {
  auto policy = this->policy();
  if (!policy->has_quotas()) return {};
  return {[policy](std::string_view project) { return policy->QuotaOfProject(project); },
          [policy](std::string_view identity) { return policy->QuotaOfMember(identity); }};
}

absl::Status Access::ReloadPolicy() {
  if (options_.policy_file.empty()) return absl::OkStatus();
  auto read = Policy::Read(options_.policy_file);
  if (!read.ok()) return read.status();
  {
    MutexLock lock(mu_);
    policy_ = *std::move(read);
  }
  PolicyChanged();
  return absl::OkStatus();
}

absl::Status Access::ReloadTokens() {
  return authenticator_ != nullptr ? authenticator_->ReloadTokens() : absl::OkStatus();
}

absl::Status Access::ReloadKeys() {
  return authenticator_ != nullptr ? authenticator_->ReloadKeys() : absl::OkStatus();
}

void Access::PolicyChanged() {
  generation_.fetch_add(1, std::memory_order_acq_rel);
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mu);
    shard.decisions.clear();
  }
}

}  // namespace sluice::server
