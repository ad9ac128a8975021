// The collector: where spans are sent. The real one takes OTLP over gRPC; a test may be one itself.
//
//   auto collector = GrpcCollector::Open({.endpoint = "https://otlp.example.com:443", .headers_file = "/etc/sluice/otlp"});
//
// Thread rule: Export from one thread; Cancel from any.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"
#include "server/tracing/export_headers.h"
#include "server/tracing/otlp.h"
#include "server/tracing/trace_options.h"

namespace sluice::server {

class Collector {
 public:
  virtual ~Collector() = default;
  // Waits for the answer, for `timeout` at the most.
  virtual grpc::Status Export(const collector::ExportTraceServiceRequest& request,
                              absl::Duration timeout,
                              collector::ExportTraceServiceResponse* response) = 0;
  // Ends the call that waits, and every later one.
  virtual void Cancel() = 0;
};

class GrpcCollector final : public Collector {
 public:
  // Connects with the first call. INVALID_ARGUMENT (INVALID_CONFIG) says which file does not do,
  // where, and why.
  static absl::StatusOr<std::unique_ptr<Collector>> Open(const TraceOptions& options);

  grpc::Status Export(const collector::ExportTraceServiceRequest& request, absl::Duration timeout,
                      collector::ExportTraceServiceResponse* response) override EXCLUDES(mu_);
  void Cancel() override EXCLUDES(mu_);

 private:
  GrpcCollector(const std::shared_ptr<grpc::Channel>& channel, ExportHeaders headers);

  const std::unique_ptr<collector::TraceService::Stub> stub_;
  const ExportHeaders headers_;
  Mutex mu_;
  grpc::ClientContext* call_ GUARDED_BY(mu_) = nullptr;
  bool cancelled_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
