// A subscriber over a stream: what it gets is counted and settled on the same stream, one request
// for each response. Responses are scanned, not parsed; how, and what settles them, is left to the
// API. A stream that ends is not opened again: the benchmark ends with the error.
//
//   auto subscriber = MakeNativeSubscriber(options, 0, tally);
//   subscriber->Start(channel);
//   subscriber->Stop();
//
// Thread rule: Start and Stop are for one thread; events come on threads of gRPC.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/bench/load.h"
#include "client/cpp/stream.h"
#include "core/base/mutex.h"
#include "grpcpp/channel.h"

namespace sluice::cli {

class StreamSubscriber : public LoadSubscriber,
                         public client::StreamEvents,
                         public std::enable_shared_from_this<StreamSubscriber> {
 public:
  // `subscription` is the number of the one it receives from.
  StreamSubscriber(const LoadOptions& options, size_t subscription, Tally* tally)
      : options_(options), subscription_(subscription), tally_(*tally) {}

  void Start(const std::shared_ptr<grpc::Channel>& channel) EXCLUDES(mu_);
  void WaitUntilOpen() final EXCLUDES(mu_);
  void Stop() final EXCLUDES(mu_);

  void OnMessage(const grpc::ByteBuffer& message) final EXCLUDES(mu_);
  void OnWritten() final EXCLUDES(mu_);
  void OnClosed(const absl::Status& status) final EXCLUDES(mu_);

 protected:
  // "/package.Service/Method"
  virtual std::string Method() const = 0;
  virtual std::string FirstRequest() const = 0;
  // Adds the payloads of a response to `runs`, and writes the request that settles them; nothing
  // when there are none. False when the bytes are no response.
  virtual bool Scan(std::string_view response, Runs* runs, std::string* settle) = 0;

  const LoadOptions& options_;
  const size_t subscription_;

 private:
  void NoteOpen() EXCLUDES(mu_);
  // The bytes of a response, until the next one.
  std::string_view Flatten(const grpc::ByteBuffer& message);
  // Writes the next request unless one is being written.
  void Speak() EXCLUDES(mu_);
  // False when the time is over before.
  template <class Done>
  bool WaitFor(absl::Duration timeout, Done&& done) EXCLUDES(mu_);

  Tally& tally_;
  // Of the response that is being read.
  std::vector<grpc::Slice> slices_;
  std::string bytes_;
  Runs runs_;

  Mutex mu_;
  CondVar changed_;
  // Null before the start and after the end.
  std::shared_ptr<client::Stream> stream_ GUARDED_BY(mu_);
  std::deque<std::string> requests_ GUARDED_BY(mu_);
  // The server has answered.
  bool open_ GUARDED_BY(mu_) = false;
  bool writing_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
};

// Over google.pubsub.v1: StreamingPull.
std::shared_ptr<StreamSubscriber> MakeGoogleSubscriber(const LoadOptions& options,
                                                       size_t subscription, Tally* tally);
// Over sluice.v1: Subscribe.
std::shared_ptr<StreamSubscriber> MakeNativeSubscriber(const LoadOptions& options,
                                                       size_t subscription, Tally* tally);

// A StreamingPull stream as it is opened.
std::string OpeningRequest(const std::string& subscription, int64_t max_outstanding_messages);
inline constexpr char kStreamingPull[] = "/google.pubsub.v1.Subscriber/StreamingPull";

}  // namespace sluice::cli
