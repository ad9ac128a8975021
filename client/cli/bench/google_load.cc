#include <memory>
#include <vector>

#include "client/cli/bench/google_admin.h"
#include "client/cli/bench/google_channel.h"
#include "client/cli/bench/google_publisher.h"
#include "client/cli/bench/google_subscriber.h"
#include "client/cli/bench/load.h"

namespace sluice::cli {
namespace {

class Google final : public Load {
 public:
  Google(const Session& session, const LoadOptions& options, Tally* tally)
      : session_(session), options_(options), tally_(tally), admin_(OpenGoogleChannel(session), options, session.timeout) {}

  ~Google() override {
    for (const auto& channel : streaming_) WaitUntilReleased(channel);
  }

  absl::Status SetUp() override { return admin_.Create(); }
  void CleanUp() override { admin_.Delete(); }

  std::unique_ptr<LoadPublisher> Publish(size_t number) override {
    return std::make_unique<GooglePublisher>(OpenGoogleChannel(session_), options_, number, tally_);
  }

  std::shared_ptr<LoadSubscriber> Subscribe(size_t number) override {
    auto subscriber = std::make_shared<GoogleSubscriber>(options_, number % options_.topics, tally_);
    // Consumers of one subscription have a connection each, those of many topics share some.
    if (options_.topics == 1 || number % kStreamsPerConnection == 0) streaming_.push_back(OpenGoogleChannel(session_));
    subscriber->Start(streaming_.back());
    return subscriber;
  }

 private:
  const Session& session_;
  const LoadOptions& options_;
  Tally* const tally_;
  GoogleAdmin admin_;
  // Those of the subscribers.
  std::vector<std::shared_ptr<grpc::Channel>> streaming_;
};

}  // namespace

std::unique_ptr<Load> GoogleLoad(const Session& session, const LoadOptions& options, Tally* tally) {
  return std::make_unique<Google>(session, options, tally);
}

}  // namespace sluice::cli
