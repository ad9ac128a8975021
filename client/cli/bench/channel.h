// A channel for a load: whatever gRPC does around a call that a benchmark has no use for is off
// (keeping requests for a retry, statistics for channelz), since the load shares the cores with the
// server.
//
// Thread rule: a channel may be used from any thread, but the last to let go of one that streams
// were on must not be a thread of gRPC, which would then wait for its own end.
#pragma once

#include <cstddef>
#include <memory>

#include "client/cli/session.h"
#include "grpcpp/channel.h"

namespace sluice::cli {

// A server may allow as few as 100 streams on a connection; more would wait for one that ends.
inline constexpr size_t kStreamsPerConnection = 100;

// Each call makes a TCP connection of its own, when it is first needed.
std::shared_ptr<grpc::Channel> OpenChannel(const Session& session);

// Returns when nobody else holds the channel. REQUIRES: its streams have ended.
void WaitUntilReleased(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace sluice::cli
