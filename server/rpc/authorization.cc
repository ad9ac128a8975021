#include "server/rpc/authorization.h"

#include <string>
#include <utility>

#include "core/base/error.h"
#include "server/rpc/request_fields.h"

namespace sluice::server {
namespace {

// `*first` is the resource that the audit log names.
absl::Status CheckNeeds(Access& access, const RpcEntry& entry,
                        const google::protobuf::Message& request, const Caller& caller,
                        std::string* first) {
  for (const Need& need : entry.access.needs) {
    const std::string resource =
        need.field.empty() ? std::string(kServerResource) : FieldAt(request, need.field);
    if (resource.empty() && need.optional) continue;
    if (first->empty()) *first = resource;
    absl::Status status =
        access.Check(caller, entry.full_name, RightOn(need.right, resource), resource);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Authorize(Access& access, const grpc::CallbackServerContext& call, Rpc rpc,
                       const google::protobuf::Message& request, Caller* caller) {
  if (absl::Status open = access.CheckOpen(); !open.ok()) return open;
  const RpcEntry& entry = EntryOf(rpc);
  if (!access.enabled() && !(entry.access.administrative && access.audits()))
    return absl::OkStatus();
  if (access.enabled()) {
    auto identified = access.Identify(call, entry.full_name);
    if (!identified.ok()) return identified.status();
    *caller = *std::move(identified);
    if (entry.access.openness == Openness::kAuthenticated && caller->identity->anonymous()) {
      return Error(Reason::kCredentialsMissing,
                   "the call has no credentials; send authorization: Bearer TOKEN");
    }
  } else {
    *caller = Access::Anybody(call);
  }
  std::string first;
  if (absl::Status status = CheckNeeds(access, entry, request, *caller, &first); !status.ok())
    return status;
  return entry.access.administrative ? access.AuditChange(caller, entry.full_name, first)
                                     : absl::OkStatus();
}

absl::Status Authorize(Access& access, const grpc::CallbackServerContext& call, Rpc rpc,
                       std::string_view resource, Caller* caller) {
  const RpcEntry& entry = EntryOf(rpc);
  auto identified = access.Identify(call, entry.full_name);
  if (!identified.ok()) return identified.status();
  *caller = *std::move(identified);
  return access.Check(*caller, entry.full_name, entry.access.needs.front().right, resource);
}

void ChangeFailed(Access& access, const Caller& caller, Rpc rpc, const absl::Status& status) {
  const RpcEntry& entry = EntryOf(rpc);
  if (caller.identity != nullptr && entry.access.administrative)
    access.AuditFailure(caller, entry.full_name, status);
}

}  // namespace sluice::server
