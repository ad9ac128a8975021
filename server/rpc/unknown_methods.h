// Counts the calls of methods that no service has, and refuses them with a text that says so.
//
// Thread rule: gRPC calls it from its own threads; constant after construction.
#pragma once

#include <string>

#include "grpcpp/generic/async_generic_service.h"
#include "server/rpc/rpc_metrics.h"

namespace sluice::server {

class UnknownMethods final : public grpc::CallbackGenericService {
 public:
  explicit UnknownMethods(RpcCounters& counters) : counters_(counters) {}

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* call) override {
    counters_.started.Add();
    counters_.Handled(grpc::StatusCode::UNIMPLEMENTED);
    return new Refusal(call->method());
  }

 private:
  class Refusal final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Refusal(const std::string& method) {
      const bool schemas = method.find("google.pubsub.v1.SchemaService/") != std::string::npos;
      Finish({grpc::StatusCode::UNIMPLEMENTED, schemas ? "this server does not keep schemas yet"
                                                       : "this server has no method " + method});
    }
    void OnDone() override { delete this; }
  };

  RpcCounters& counters_;
};

}  // namespace sluice::server
