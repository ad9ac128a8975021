// A connection to a Sluice server.
//
//   auto connection = sluice::client::Connection::Open({.server = "127.0.0.1:8085"});
//
// Connecting happens in the background and again whenever the connection is lost; nothing here blocks.
//
// Thread rule: every member may be called from any thread. Publishers and subscribers keep the connection alive.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"

namespace sluice::client {

struct ConnectionOptions {
  // HOST:PORT.
  std::string server = "127.0.0.1:8085";
  // Plain text when null.
  std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;
  // Two connections with different numbers do not share a TCP connection.
  int number = 0;
};

class Connection {
 public:
  static std::shared_ptr<Connection> Open(ConnectionOptions options);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  explicit Connection(std::shared_ptr<grpc::Channel> channel) : channel_(std::move(channel)) {}
  const std::shared_ptr<grpc::Channel> channel_;
};

// The status of a call with the server's reason, field, value and limit, as ReasonOf and MetadataOf of core/base/error.h
// give them; a reason this library does not know stands in the text.
absl::Status FromGrpc(const grpc::Status& status);

// Whether the same request may succeed later.
bool IsTransient(const absl::Status& status);

}  // namespace sluice::client
