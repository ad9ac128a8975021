// Counts the calls of methods that no service has, and refuses them.
//
// Thread rule: gRPC calls it from its own threads; constant after construction.
#pragma once

#include "grpcpp/generic/async_generic_service.h"
#include "server/rpc_metrics.h"

namespace sluice::server {

class UnknownMethods final : public grpc::CallbackGenericService {
 public:
  explicit UnknownMethods(RpcCounters& counters) : counters_(counters) {}

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* call) override {
    counters_.started.Add();
    counters_.Handled(grpc::StatusCode::UNIMPLEMENTED);
    return grpc::CallbackGenericService::CreateReactor(call);
  }

 private:
  RpcCounters& counters_;
};

}  // namespace sluice::server
