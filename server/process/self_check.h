// Whether a gRPC server still answers, asked from inside: the health service's "liveness", through
// the same reactions and threads as any client's call, though not through a socket, so that neither
// its address nor TLS matter.
//
// Thread rule: AnswersHealth blocks; from any thread that is not gRPC's.
#pragma once

#include "absl/time/time.h"
#include "grpcpp/server.h"

namespace sluice::server {

bool AnswersHealth(grpc::Server& server, absl::Duration timeout);

}  // namespace sluice::server
