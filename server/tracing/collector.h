// The collector: where spans are sent. The real one takes OTLP over gRPC in plain text; a test may
// be one itself.
//
// Thread rule: Export from one thread; Cancel from any.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "grpcpp/client_context.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"
#include "server/tracing/otlp.h"

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
  // Connects with the first call.
  explicit GrpcCollector(const std::string& endpoint);

  grpc::Status Export(const collector::ExportTraceServiceRequest& request, absl::Duration timeout,
                      collector::ExportTraceServiceResponse* response) override EXCLUDES(mu_);
  void Cancel() override EXCLUDES(mu_);

 private:
  const std::unique_ptr<collector::TraceService::Stub> stub_;
  Mutex mu_;
  grpc::ClientContext* call_ GUARDED_BY(mu_) = nullptr;
  bool cancelled_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice::server
