#include "server/tracing/collector.h"

#include "core/base/error.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "server/security/tls/certificates.h"

namespace sluice::server {
namespace {

// A collector that comes back is found within this.
constexpr int kMaxReconnectMs = 5000;

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(
    const TraceOptions& options) {
  if (!options.tls()) {
    for (const auto& [field, file] : {std::pair("trace.ca", options.ca_file),
                                      std::pair("trace.headers", options.headers_file)}) {
      if (file.empty()) continue;
      return Error(
          Reason::kInvalidConfig,
          std::string(field) + ": " + file + ": trace.endpoint has to begin with https:// for it",
          {{"field", field}, {"value", file}});
    }
    return grpc::InsecureChannelCredentials();
  }
  auto authorities = ReadAuthorities("trace.ca", options.ca_file);
  if (!authorities.ok()) return authorities.status();
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = *std::move(authorities);
  return grpc::SslCredentials(ssl);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Collector>> GrpcCollector::Open(const TraceOptions& options) {
  auto credentials = CredentialsOf(options);
  if (!credentials.ok()) return credentials.status();
  auto headers = ReadExportHeaders(options.headers_file);
  if (!headers.ok()) return headers.status();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  const auto channel = grpc::CreateCustomChannel(options.address(), *credentials, arguments);
  return std::unique_ptr<Collector>(new GrpcCollector(channel, *std::move(headers)));
}

GrpcCollector::GrpcCollector(const std::shared_ptr<grpc::Channel>& channel, ExportHeaders headers)
    : stub_(collector::TraceService::NewStub(channel)), headers_(std::move(headers)) {}

grpc::Status GrpcCollector::Export(const collector::ExportTraceServiceRequest& request,
                                   absl::Duration timeout,
                                   collector::ExportTraceServiceResponse* response) {
  grpc::ClientContext call;
  call.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  for (const auto& [name, value] : headers_) call.AddMetadata(name, value);
  {
    MutexLock lock(mu_);
    if (cancelled_) return grpc::Status::CANCELLED;
    call_ = &call;
  }
  grpc::Status status = stub_->Export(&call, request, response);
  MutexLock lock(mu_);
  call_ = nullptr;
  return status;
}

void GrpcCollector::Cancel() {
  MutexLock lock(mu_);
  cancelled_ = true;
  if (call_ != nullptr) call_->TryCancel();
}

}  // namespace sluice::server
