#include "server/tracing/collector.h"

#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace sluice::server {
namespace {

// A collector that comes back is found within this.
constexpr int kMaxReconnectMs = 5000;

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

GrpcCollector::GrpcCollector(const std::string& endpoint)
    : stub_(collector::TraceService::NewStub(ChannelTo(endpoint))) {}

grpc::Status GrpcCollector::Export(const collector::ExportTraceServiceRequest& request,
                                   absl::Duration timeout,
                                   collector::ExportTraceServiceResponse* response) {
  grpc::ClientContext call;
  call.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
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
