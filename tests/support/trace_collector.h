// A collector for traces in the test's own process: keeps the spans it is sent, and can be told to
// fail or to hang.
//
//   TraceCollector collector;
//   options.trace.endpoint = collector.address();
//   ...
//   std::vector<otlp::trace::v1::Span> spans = collector.Named("publish
//   projects/test/topics/orders");
//
// Thread rule: any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"

namespace sluice {

class TraceCollector final
    : public opentelemetry::proto::collector::trace::v1::TraceService::Service {
 public:
  using Span = opentelemetry::proto::trace::v1::Span;
  using Request = opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
  using Response = opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse;
  enum class Mode { kTakes, kFails, kHangs };

  explicit TraceCollector(Mode mode = Mode::kTakes,
                          const std::shared_ptr<grpc::ServerCredentials>& credentials =
                              grpc::InsecureServerCredentials())
      : mode_(mode) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~TraceCollector() override {
    {
      MutexLock lock(mu_);
      mode_ = Mode::kFails;
      changed_.NotifyAll();
    }
    server_->Shutdown();
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  grpc::Status Export(grpc::ServerContext* context, const Request* request, Response*) override {
    MutexLock lock(mu_);
    ++calls_;
    headers_.clear();
    for (const auto& [name, value] : context->client_metadata()) {
      headers_.emplace(std::string(name.data(), name.size()),
                       std::string(value.data(), value.size()));
    }
    changed_.NotifyAll();
    while (mode_ == Mode::kHangs) changed_.Wait(lock);
    if (mode_ == Mode::kFails) return {grpc::StatusCode::INTERNAL, "broken"};
    for (const auto& resource : request->resource_spans()) {
      resource_ = resource.resource().DebugString();
      for (const auto& scope : resource.scope_spans()) {
        spans_.insert(spans_.end(), scope.spans().begin(), scope.spans().end());
      }
    }
    return grpc::Status::OK;
  }

  void WaitForCall() {
    MutexLock lock(mu_);
    while (calls_ == 0) changed_.Wait(lock);
  }
  std::vector<Span> spans() const {
    MutexLock lock(mu_);
    return spans_;
  }
  std::string resource() const {
    MutexLock lock(mu_);
    return resource_;
  }
  // Of the last call.
  std::multimap<std::string, std::string> headers() const {
    MutexLock lock(mu_);
    return headers_;
  }
  // In the order in which they ended.
  std::vector<Span> Named(const std::string& name) const {
    std::vector<Span> named;
    for (const Span& span : spans()) {
      if (span.name() == name) named.push_back(span);
    }
    return named;
  }

 private:
  int port_ = 0;
  mutable Mutex mu_;
  CondVar changed_;
  Mode mode_ GUARDED_BY(mu_);
  int calls_ GUARDED_BY(mu_) = 0;
  std::vector<Span> spans_ GUARDED_BY(mu_);
  std::string resource_ GUARDED_BY(mu_);
  std::multimap<std::string, std::string> headers_ GUARDED_BY(mu_);
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sluice
