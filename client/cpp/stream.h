// A bidirectional stream of serialized messages, as publishers and subscribers see it: over gRPC,
// and in tests driven by hand.
//
//   std::shared_ptr<Stream> stream = streams(events);      // nothing happens yet
//   stream->Start();
//   stream->Write(request);                                // the next one after OnWritten
//   stream->CloseWrites();                                 // or Cancel(); OnClosed tells the end
//
// Thread rule: members may be called from any thread, also before Start and after the end (then
// they do nothing). Events come from threads of the stream, never from inside a call to it: one
// OnMessage at a time and one OnWritten at a time, the two kinds at once; OnClosed is the last. A
// started stream keeps itself and its events alive until OnClosed.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::client {

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void OnMessage(const grpc::ByteBuffer& message) = 0;
  virtual void OnWritten() = 0;
  virtual void OnClosed(const absl::Status& status) = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;
  virtual void Start() = 0;
  // REQUIRES: the write before has been told of by OnWritten. A write that fails is told of by
  // OnClosed alone.
  virtual void Write(const grpc::ByteBuffer& message) = 0;
  virtual void CloseWrites() = 0;
  virtual void Cancel() = 0;
};

using StreamFactory = std::function<std::shared_ptr<Stream>(std::shared_ptr<StreamEvents>)>;

// Streams of one method, such as "/sluice.v1.PubSub/Publish".
StreamFactory GrpcStreams(std::shared_ptr<grpc::Channel> channel, std::string method);

}  // namespace sluice::client
