#include "server/rpc/errors.h"

#include "core/base/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace sluice::server {
namespace {

constexpr char kDomain[] = "sluice";

// A status that was not made by Error() is a defect of ours, unless it says OK.
Reason ReasonOrInternal(const absl::Status& status) {
  return ReasonOf(status).value_or(Reason::kInternal);
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

void SetDuration(absl::Duration d, google::protobuf::Duration* out) {
  out->set_seconds(absl::IDivDuration(d, absl::Seconds(1), &d));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(d)));
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<int>(status.code());
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(MessageOf(status));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(ReasonOrInternal(status))));
  info.set_domain(kDomain);
  for (auto& [key, value] : MetadataOf(status)) (*info.mutable_metadata())[key] = value;
  details.add_details()->PackFrom(info);
  if (const auto delay = RetryDelayOf(status)) {
    google::rpc::RetryInfo retry;
    SetDuration(*delay, retry.mutable_retry_delay());
    details.add_details()->PackFrom(retry);
  }
  return {static_cast<grpc::StatusCode>(code), MessageOf(status), details.SerializeAsString()};
}

v1::Error ToProto(const absl::Status& status) {
  v1::Error error;
  error.set_code(static_cast<int>(status.code()));
  error.set_reason(std::string(ReasonName(ReasonOrInternal(status))));
  error.set_message(MessageOf(status));
  if (const auto delay = RetryDelayOf(status)) SetDuration(*delay, error.mutable_retry_delay());
  return error;
}

void CountRefusal(const absl::Status& status, EngineMetrics& metrics) {
  if (!status.ok()) metrics.refused[static_cast<size_t>(ReasonOrInternal(status))].Add();
}

}  // namespace sluice::server
