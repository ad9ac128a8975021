// sluice_example publish TOPIC COUNT | subscribe SUBSCRIPTION TOPIC COUNT
#include <cstdlib>
#include <future>
#include <iostream>

#include "client/cpp/admin.h"
#include "client/cpp/publisher.h"
#include "client/cpp/subscriber.h"

namespace client = sluice::client;

template <class T>
void Must(const absl::StatusOr<T>& result) {
  if (result.ok() || absl::IsAlreadyExists(result.status())) return;
  std::cerr << result.status().message() << "\n";
  std::exit(1);
}

int main(int argc, char** argv) {
  const char* server = std::getenv("SLUICE_SERVER");
  auto connection = client::Connection::Open({.server = server ? server : "127.0.0.1:8085"});
  client::Admin admin(connection);
  const int count = std::atoi(argv[argc - 1]);
  sluice::v1::Topic topic;
  topic.set_name(std::string("projects/examples/topics/") + argv[argc - 2]);
  Must(admin.CreateTopic(topic));
  if (std::string(argv[1]) == "publish") {
    client::Publisher publisher(connection, topic.name());
    for (int i = 0; i < count; ++i) {
      publisher.Publish({.data = "message " + std::to_string(i) + " ✓",
                         .attributes = {{"language", "cpp"}, {"n", std::to_string(i)}}},
                        [](const absl::StatusOr<uint64_t>& id) {
                          Must(id);
                          std::cout << "published " << *id << "\n";
                        });
    }
    return publisher.Close(absl::Seconds(10)).ok() ? 0 : 1;
  }
  sluice::v1::Subscription subscription;
  subscription.set_name(std::string("projects/examples/subscriptions/") + argv[2]);
  subscription.set_topic(topic.name());
  subscription.mutable_start()->set_earliest(true);
  Must(admin.CreateSubscription(subscription));
  std::promise<void> all;
  int received = 0;
  client::Subscriber subscriber(connection, {.subscription = subscription.name()},
                                {.concurrency = 1});
  subscriber.Start([&](const client::ReceivedMessage& message) {
    std::cout << "received " << *message.FindAttribute("language") << " "
              << *message.FindAttribute("n") << " " << message.data << "\n";
    if (++received == count) all.set_value();
    return client::Verdict::Ack();
  });
  all.get_future().wait();
  return subscriber.Stop(absl::Seconds(10)).ok() ? 0 : 1;
}
