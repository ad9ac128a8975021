#include "client/cli/bench/google_admin.h"

#include <utility>

#include "absl/time/clock.h"
#include "client/cpp/status.h"
#include "core/base/mutex.h"
#include "google/protobuf/empty.pb.h"

namespace sluice::cli {
namespace {

namespace pubsub = ::google::pubsub::v1;

constexpr size_t kInFlight = 64;

// What a call needs until it is answered.
template <class Request, class Response>
struct Call {
  grpc::ClientContext context;
  Request request;
  Response response;
};

template <class Request, class Response, class Async>
void Start(Async* async,
           void (Async::*method)(grpc::ClientContext*, const Request*, Response*,
                                 std::function<void(grpc::Status)>),
           Request request, absl::Duration timeout, std::function<void(grpc::Status)> answered) {
  auto call = std::make_shared<Call<Request, Response>>();
  call->request = std::move(request);
  call->context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  (async->*method)(
      &call->context, &call->request, &call->response,
      [call, answered = std::move(answered)](const grpc::Status& status) { answered(status); });
}

// How many requests are under way, and what became of the others.
class Window {
 public:
  // Waits for room. False after an error.
  bool Enter() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    while (in_flight_ == kInFlight) changed_.Wait(lock);
    if (!error_.ok()) return false;
    ++in_flight_;
    return true;
  }

  void Leave(const absl::Status& status) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    --in_flight_;
    if (error_.ok()) error_ = status;
    changed_.NotifyAll();
  }

  absl::Status Wait() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    while (in_flight_ > 0) changed_.Wait(lock);
    return error_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  size_t in_flight_ GUARDED_BY(mu_) = 0;
  absl::Status error_ GUARDED_BY(mu_);
};

}  // namespace

GoogleAdmin::GoogleAdmin(const std::shared_ptr<grpc::Channel>& channel, const LoadOptions& options,
                         absl::Duration timeout)
    : options_(options),
      timeout_(timeout),
      publisher_(pubsub::Publisher::NewStub(channel)),
      subscriber_(pubsub::Subscriber::NewStub(channel)) {}

absl::Status GoogleAdmin::ForEach(size_t count, const Send& send) {
  // The last answer may still hold it when the error is out.
  const auto window = std::make_shared<Window>();
  for (size_t i = 0; i < count && window->Enter(); ++i) {
    send(i, [window](const grpc::Status& status) { window->Leave(client::FromGrpc(status)); });
  }
  return window->Wait();
}

void GoogleAdmin::CreateTopic(size_t i, Answered answered) {
  pubsub::Topic topic;
  topic.set_name(options_.TopicOf(i));
  Start(publisher_->async(), &pubsub::Publisher::Stub::async::CreateTopic, std::move(topic),
        timeout_, std::move(answered));
}

void GoogleAdmin::CreateSubscription(size_t i, Answered answered) {
  pubsub::Subscription subscription;
  subscription.set_name(options_.SubscriptionOf(i));
  subscription.set_topic(options_.TopicOf(i));
  subscription.set_enable_message_ordering(options_.ordered);
  subscription.set_enable_exactly_once_delivery(options_.exactly_once);
  Start(subscriber_->async(), &pubsub::Subscriber::Stub::async::CreateSubscription,
        std::move(subscription), timeout_, std::move(answered));
}

void GoogleAdmin::DeleteTopic(size_t i, Answered answered) {
  pubsub::DeleteTopicRequest request;
  request.set_topic(options_.TopicOf(i));
  Start(publisher_->async(), &pubsub::Publisher::Stub::async::DeleteTopic, std::move(request),
        timeout_, std::move(answered));
}

void GoogleAdmin::DeleteSubscription(size_t i, Answered answered) {
  pubsub::DeleteSubscriptionRequest request;
  request.set_subscription(options_.SubscriptionOf(i));
  Start(subscriber_->async(), &pubsub::Subscriber::Stub::async::DeleteSubscription,
        std::move(request), timeout_, std::move(answered));
}

absl::Status GoogleAdmin::Create() {
  if (options_.own_topic) {
    absl::Status status = ForEach(options_.topics, [this](size_t i, Answered answered) {
      CreateTopic(i, std::move(answered));
    });
    if (!status.ok()) return status;
  }
  return ForEach(options_.all_subscriptions(), [this](size_t i, Answered answered) {
    CreateSubscription(i, std::move(answered));
  });
}

void GoogleAdmin::Delete() {
  const auto all = [this](size_t count, void (GoogleAdmin::*remove)(size_t, Answered)) {
    ForEach(count, [&](size_t i, const Answered& answered) {
      (this->*remove)(i, [answered](const grpc::Status&) { answered(grpc::Status::OK); });
    }).IgnoreError();
  };
  all(options_.all_subscriptions(), &GoogleAdmin::DeleteSubscription);
  if (options_.own_topic) all(options_.topics, &GoogleAdmin::DeleteTopic);
}

}  // namespace sluice::cli
