#include "client/cpp/status.h"

#include <optional>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace sluice::client {
namespace {

std::optional<Reason> ReasonNamed(std::string_view name) {
  for (int i = 0; i < kReasonCount; ++i) {
    if (ReasonName(static_cast<Reason>(i)) == name) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

absl::Duration FromProto(const google::protobuf::Duration& d) {
  return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
}

absl::Status Make(int code, const std::string& message, const google::rpc::ErrorInfo& info,
                  absl::Duration retry_delay) {
  absl::Status status(static_cast<absl::StatusCode>(code), message);
  if (const auto reason = ReasonNamed(info.reason())) {
    // The server's code stands, also where a newer server has another one for this reason.
    Error(*reason, message, ErrorMetadata(info.metadata().begin(), info.metadata().end()))
        .ForEachPayload(
            [&](absl::string_view url, const absl::Cord& value) { status.SetPayload(url, value); });
  } else if (!info.reason().empty()) {
    status = absl::Status(status.code(), ToAbsl(fmt::format("{} ({})", message, info.reason())));
  }
  if (retry_delay > absl::ZeroDuration()) SetRetryDelay(retry_delay, &status);
  return status;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  google::rpc::RetryInfo retry;
  // Details that cannot be read are as good as none.
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : details.details()) {
      if (!detail.UnpackTo(&info)) detail.UnpackTo(&retry);
    }
  }
  return Make(status.error_code(), status.error_message(), info, FromProto(retry.retry_delay()));
}

absl::Status FromProto(const v1::Error& error) {
  google::rpc::ErrorInfo info;
  info.set_reason(error.reason());
  return Make(error.code(), error.message(), info, FromProto(error.retry_delay()));
}

bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

bool MayReopen(const absl::Status& end) {
  return end.ok() || IsTransient(end) || absl::IsCancelled(end);
}

}  // namespace sluice::client
