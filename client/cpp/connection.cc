#include "client/cpp/connection.h"

#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/create_channel.h"

namespace sluice::client {
namespace {

constexpr int kMaxMessageBytes = 22'000'000;

std::optional<Reason> ReasonNamed(const std::string& name) {
  for (int i = 0; i < kReasonCount; ++i) {
    if (ReasonName(static_cast<Reason>(i)) == name) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

}  // namespace

std::shared_ptr<Connection> Connection::Open(ConnectionOptions options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt("sluice.connection_number", options.number);
  arguments.SetUserAgentPrefix("sluice-cpp");
  if (options.credentials == nullptr) options.credentials = grpc::InsecureChannelCredentials();
  return std::shared_ptr<Connection>(
      new Connection(grpc::CreateCustomChannel(options.server, options.credentials, arguments)));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  const bool known = details.ParseFromString(status.error_details()) && details.details_size() > 0 &&
                     details.details(0).UnpackTo(&info);
  const auto reason = known ? ReasonNamed(info.reason()) : std::nullopt;
  if (reason && static_cast<int>(ReasonCode(*reason)) == static_cast<int>(status.error_code())) {
    ErrorMetadata metadata(info.metadata().begin(), info.metadata().end());
    return Error(*reason, status.error_message(), std::move(metadata));
  }
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
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

}  // namespace sluice::client
