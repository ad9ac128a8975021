#include <memory>
#include <vector>

#include "client/cli/bench/channel.h"
#include "client/cli/bench/google_admin.h"
#include "client/cli/bench/google_publisher.h"
#include "client/cli/bench/load.h"
#include "client/cli/bench/stream_subscriber.h"

namespace sluice::cli {
namespace {

class Google final : public Load {
 public:
  Google(const Session& session, const LoadOptions& options, Tally* tally)
      : session_(session),
        options_(options),
        tally_(tally),
        admin_(OpenChannel(session), options, session.timeout) {}

  ~Google() override {
    for (const auto& channel : streaming_) WaitUntilReleased(channel);
  }

  absl::Status SetUp() override { return admin_.Create(); }
  void CleanUp() override { admin_.Delete(); }

  std::unique_ptr<LoadPublisher> Publish(size_t number) override {
    return std::make_unique<GooglePublisher>(OpenChannel(session_), options_, number, tally_);
  }

  std::shared_ptr<LoadSubscriber> Subscribe(size_t number) override {
    auto subscriber = MakeGoogleSubscriber(options_, number % options_.all_subscriptions(), tally_);
    // Consumers of one topic have a connection each, those of many share some.
    if (options_.topics == 1 || number % kStreamsPerConnection == 0)
      streaming_.push_back(OpenChannel(session_));
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
