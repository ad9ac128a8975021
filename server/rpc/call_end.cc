#include "server/rpc/call_end.h"

#include <string>
#include <utility>

#include "core/base/error.h"
#include "server/log/log.h"
#include "server/rpc/errors.h"
#include "server/tracing/context.h"

namespace sluice::server {
namespace {

// Nobody but us can do anything about these.
bool IsOurs(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDataLoss;
}

LogFields FieldsOf(Rpc rpc, const grpc::CallbackServerContext& call, const absl::Status& status) {
  const auto reason = ReasonOf(status);
  LogFields fields = {{"rpc", std::string(EntryOf(rpc).full_name)},
                      {"code", absl::StatusCodeToString(status.code())},
                      {"reason", reason ? std::string(ReasonName(*reason)) : ""},
                      {"error", std::string(status.message())},
                      {"peer", call.peer()},
                      {"request_id", RequestIdOf(call)}};
  if (const auto trace = ContextOf(call)) fields.emplace_back("trace_id", TraceIdText(*trace));
  std::erase_if(fields, [](const auto& field) { return field.second.empty(); });
  return fields;
}

}  // namespace

void LogFailure(Rpc rpc, const grpc::CallbackServerContext& call, const absl::Status& status) {
  if (status.ok()) return;
  if (IsOurs(status.code())) {
    LogWarning(LogPart::kServer, "a call failed", FieldsOf(rpc, call, status));
  } else if (LogsDebug(LogPart::kServer)) {
    LogDebug(LogPart::kServer, "a call was refused", FieldsOf(rpc, call, status));
  }
}

grpc::Status EndCall(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                     const absl::Status& status) {
  grpc::Status answer = ToGrpc(status);
  context.rpcs.of(rpc).Handled(answer.error_code());
  LogFailure(rpc, call, status);
  return answer;
}

grpc::Status EndUnary(ServiceContext& context, Rpc rpc, const grpc::CallbackServerContext& call,
                      const absl::Status& status) {
  if (status.ok()) context.rpcs.of(rpc).sent.Add();
  return EndCall(context, rpc, call, status);
}

}  // namespace sluice::server
