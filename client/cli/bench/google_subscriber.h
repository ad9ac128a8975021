// A subscriber of google.pubsub.v1: one StreamingPull stream, with the acknowledgements on the same stream, one request for
// each response. Responses are scanned, not parsed. A stream that ends is not opened again: the benchmark ends with the error.
//
//   auto subscriber = std::make_shared<GoogleSubscriber>(options, tally);
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

// Opens a StreamingPull stream: its first request.
std::string OpeningRequest(const std::string& subscription, int64_t max_outstanding_messages);

inline constexpr char kStreamingPull[] = "/google.pubsub.v1.Subscriber/StreamingPull";

class GoogleSubscriber final : public LoadSubscriber,
                               public client::StreamEvents,
                               public std::enable_shared_from_this<GoogleSubscriber> {
 public:
  // Of the subscription with that number.
  GoogleSubscriber(const LoadOptions& options, size_t number, Tally* tally)
      : options_(options), number_(number), tally_(*tally) {}

  void Start(const std::shared_ptr<grpc::Channel>& channel) EXCLUDES(mu_);
  void WaitUntilOpen() override EXCLUDES(mu_);
  void Stop() override EXCLUDES(mu_);

  void OnMessage(const grpc::ByteBuffer& message) override EXCLUDES(mu_);
  void OnWritten() override EXCLUDES(mu_);
  void OnClosed(const absl::Status& status) override EXCLUDES(mu_);

 private:
  // Fills payloads_ and writes the request that acknowledges them. False when the bytes are no response.
  bool Scan(std::string_view response, std::string* acks);
  void NoteOpen() EXCLUDES(mu_);
  // Writes the next request unless one is being written.
  void Speak() EXCLUDES(mu_);
  // False when the time is over before.
  template <class Done>
  bool WaitFor(absl::Duration timeout, Done&& done) EXCLUDES(mu_);

  const LoadOptions& options_;
  const size_t number_;
  Tally& tally_;
  // Of the response that is being read.
  std::vector<std::string_view> payloads_;

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

}  // namespace sluice::cli
