// sluice_embedded_example [FOLDER]: publishes ten messages and handles them, all in this process.
// With a folder they are durable, without one they are in memory.
#include <atomic>
#include <future>
#include <iostream>
#include <string>

#include "core/embedded/broker.h"

namespace embedded = sluice::embedded;

// The value, or the end with the reason.
template <class T>
T Must(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::cerr << result.status().message() << "\n";
  std::exit(1);
}

int main(int argc, char** argv) {
  constexpr auto kTopic = "projects/examples/topics/orders";
  constexpr auto kSubscription = "projects/examples/subscriptions/billing";
  auto broker = Must(embedded::Broker::Open({.folder = argc > 1 ? argv[1] : ""}));
  // From the second run on they are there already.
  broker->CreateTopic(kTopic).IgnoreError();
  broker->CreateSubscription(kSubscription, kTopic).IgnoreError();

  std::promise<void> all;
  std::atomic<int> handled = 0;
  auto subscriber =
      Must(broker->Subscribe(kSubscription,
                             [&](const embedded::Message& message) {
                               if (message.attempt() == 1 && message.data() == "order 3")
                                 throw std::runtime_error("try that one again");
                               std::cout << "handled " + std::string(message.data()) +
                                                ", attempt " + std::to_string(message.attempt()) +
                                                "\n";
                               if (++handled == 10) all.set_value();
                               return sluice::Verdict::Ack();
                             },
                             {.concurrency = 2, .failure_delay = absl::Milliseconds(10)}));

  auto publisher = Must(broker->OpenPublisher(kTopic));
  for (int i = 0; i < 9; ++i) {
    publisher->Publish({.data = "order " + std::to_string(i)}, [](const auto& id) { Must(id); });
  }
  std::cout << "published " << Must(publisher->Publish({.data = "order 9"}).get()) << "\n";
  all.get_future().wait();
  return broker->Close(absl::Seconds(10)).ok() ? 0 : 1;
}
