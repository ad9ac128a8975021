// A collector that takes spans and forgets them, at a cost that is not to be seen beside a
// server's: for figures of tracing on a machine where both run.
//
//   span_sink        # prints its port, and goes on until it is killed
#include <cstdio>

#include "grpcpp/server_builder.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"

namespace trace = opentelemetry::proto::collector::trace::v1;

// Requests stay bytes.
class Sink final
    : public trace::TraceService::WithRawCallbackMethod_Export<trace::TraceService::Service> {
  grpc::ServerUnaryReactor* Export(grpc::CallbackServerContext* call, const grpc::ByteBuffer*,
                                   grpc::ByteBuffer* response) override {
    *response = grpc::ByteBuffer(nullptr, 0);
    auto* reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int main() {
  Sink sink;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&sink);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::printf("%d\n", port);
  std::fflush(stdout);
  server->Wait();
}
