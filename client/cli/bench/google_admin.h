// Makes and deletes what a load over google.pubsub.v1 needs: its topics and subscriptions. Many
// requests are under way at once, as those of many clients would be, so that it also says how fast
// a server makes them.
//
// Thread rule: one call at a time. Lifetime: options outlive it.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "client/cli/bench/load.h"
#include "google/pubsub/v1/pubsub.grpc.pb.h"
#include "grpcpp/channel.h"

namespace sluice::cli {

class GoogleAdmin {
 public:
  GoogleAdmin(const std::shared_ptr<grpc::Channel>& channel, const LoadOptions& options,
              absl::Duration timeout);

  // All topics (those of LoadOptions::own_topic), and then all subscriptions. The first error ends
  // it.
  absl::Status Create();
  // Goes on after errors, since something may be gone.
  void Delete();

 private:
  using Answered = std::function<void(grpc::Status)>;
  // Sends the request that is for topic or subscription number `i`.
  using Send = std::function<void(size_t i, Answered answered)>;

  // For each number below `count`. Returns the first error, once nothing is under way any more.
  static absl::Status ForEach(size_t count, const Send& send);
  void CreateTopic(size_t i, Answered answered);
  void CreateSubscription(size_t i, Answered answered);
  void DeleteTopic(size_t i, Answered answered);
  void DeleteSubscription(size_t i, Answered answered);

  const LoadOptions& options_;
  const absl::Duration timeout_;
  const std::unique_ptr<google::pubsub::v1::Publisher::Stub> publisher_;
  const std::unique_ptr<google::pubsub::v1::Subscriber::Stub> subscriber_;
};

}  // namespace sluice::cli
