// The usual grpc_server_* counters, by method and code. The set of methods is fixed when the server
// is built, so the number of series is bounded.
//
// Thread rule: every member may be called from any thread.
#pragma once

#include <array>

#include "core/metrics/metrics.h"
#include "grpcpp/support/status.h"
#include "server/rpc/rpc_table.h"

namespace sluice::server {

struct RpcCounters {
  static constexpr size_t kCodes = 17;
  Counter started;
  std::array<Counter, kCodes> handled;
  Counter received;
  Counter sent;

  void Handled(grpc::StatusCode code) {
    handled[static_cast<size_t>(code) < kCodes ? code : grpc::StatusCode::UNKNOWN].Add();
  }
  // A unary call has one message each way.
  void StartedUnary() {
    started.Add();
    received.Add();
  }
};

class RpcMetrics {
 public:
  RpcCounters& of(Rpc rpc) { return counters_[static_cast<size_t>(rpc)]; }
  const RpcCounters& of(Rpc rpc) const { return counters_[static_cast<size_t>(rpc)]; }

  // Calls and streams that were begun.
  uint64_t started() const {
    uint64_t sum = 0;
    for (const RpcCounters& counters : counters_)
      sum += static_cast<uint64_t>(counters.started.value());
    return sum;
  }

  // Streams open now.
  Gauge publish_streams;
  Gauge subscribe_streams;

 private:
  std::array<RpcCounters, kRpcCount> counters_;
};

}  // namespace sluice::server
