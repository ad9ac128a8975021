// A bidirectional stream of serialized messages, as publisher and subscriber see it; the gRPC one, and in tests one that
// is driven by hand.
//
// Thread rule: Write, CloseWrites and Cancel from any thread, Write again only after OnWritten. Events come one at a time
// from a thread of the stream's, never from inside a call; OnClosed is the last. The stream keeps its events alive.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::client {

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void OnMessage(const grpc::ByteBuffer& message) = 0;
  virtual void OnWritten() = 0;
  virtual void OnClosed(absl::Status status) = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;
  virtual void Write(const std::string& bytes) = 0;
  virtual void CloseWrites() = 0;
  virtual void Cancel() = 0;
};

// Opens a stream; it may be written to at once.
using StreamFactory = std::function<std::shared_ptr<Stream>(std::shared_ptr<StreamEvents>)>;

class Connection;

// Streams of one method, such as "/sluice.v1.PubSub/Publish".
StreamFactory GrpcStreams(std::shared_ptr<Connection> connection, std::string method);

}  // namespace sluice::client
