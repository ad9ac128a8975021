// A connection to a server, shared by any number of publishers, subscribers and admins.
//
//   auto connection = sluice::client::Connection::Open({.server = "127.0.0.1:8085"});
//
// Opening does not block and does not fail: the connection is made when it is first needed, and
// again whenever it is lost. It owns the one thread that runs timers for everything on it.
//
// Thread rule: every member may be called from any thread. Lifetime: publishers and subscribers
// keep it alive; the last one must not be destroyed inside one of their callbacks. Who has a stub
// or a call on the channel lets go of it before.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/base/timer_queue.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace sluice::client {

struct ConnectionOptions {
  // HOST:PORT.
  std::string server = "127.0.0.1:8085";
  // Plain text when null; client/cpp/credentials.h makes them from files.
  std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;
  // Called for each call, from any thread: an API token or a JWT, sent as "authorization: Bearer
  // ..."; nothing is sent when it is empty. Over plain text everybody on the way can read it.
  std::function<std::string()> token = nullptr;
  // A silent connection is probed this often, and given up 10 s later.
  absl::Duration keepalive = absl::Seconds(20);
  // In front of gRPC's own.
  std::string user_agent = "sluice-cpp";
};

// The channel of a connection, for those who need no more.
std::shared_ptr<grpc::Channel> OpenChannel(const ConnectionOptions& options,
                                           const grpc::ChannelArguments& arguments);

class Connection {
 public:
  // Each call makes a TCP connection of its own.
  static std::shared_ptr<Connection> Open(const ConnectionOptions& options);
  // Returns when the streams that were on it are gone.
  ~Connection();

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const Clock& clock() const { return clock_; }
  TimerQueue& timers() { return timers_; }

 private:
  explicit Connection(std::shared_ptr<grpc::Channel> channel);

  const std::shared_ptr<grpc::Channel> channel_;
  const SystemClock clock_;
  TimerQueue timers_{clock_};
};

}  // namespace sluice::client
