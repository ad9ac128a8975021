// Whether a call may be made: the table of calls (rpc_table.h) says which rights it needs, the
// request of what, and server/security whether the caller has them.
//
//   Caller caller;
//   if (absl::Status may = Authorize(context.access, *call, Rpc::kCreateTopic, *request, &caller); !may.ok()) ...
//   ... if (!made.ok()) ChangeFailed(context.access, caller, Rpc::kCreateTopic, made.status());
//
// Thread rule: may be called from any thread.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "server/rpc/rpc_table.h"
#include "server/security/auth/access.h"

namespace sluice::server {

// Who calls, whether they have all of the rights, and a line in the audit log if the call changes
// something. `*caller` says who. UNAUTHENTICATED, PERMISSION_DENIED, UNAVAILABLE
// (AUDIT_UNAVAILABLE).
absl::Status Authorize(Access& access, const grpc::CallbackServerContext& call, Rpc rpc,
                       const google::protobuf::Message& request, Caller* caller);
// The same for a call whose message is read otherwise, and needs one right on one resource.
absl::Status Authorize(Access& access, const grpc::CallbackServerContext& call, Rpc rpc,
                       std::string_view resource, Caller* caller);

// Records in the audit log that a change which was allowed has failed.
void ChangeFailed(Access& access, const Caller& caller, Rpc rpc, const absl::Status& status);

}  // namespace sluice::server
