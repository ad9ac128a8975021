#include "server/rpc/admit_publish.h"

#include <chrono>

#include "absl/time/clock.h"

namespace sluice::server {

Instant DeadlineOf(const grpc::CallbackServerContext& call, const Clock& clock) {
  const auto deadline = call.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return Instant::Never();
  return clock.Now() + (absl::FromChrono(deadline) - absl::Now());
}

}  // namespace sluice::server
