// A broker over a memory store with a topic and a subscription, on a clock that stands still until
// it is told.
//
// Thread rule: for one test thread; handlers may use what guards itself.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/embedded/broker.h"
#include "gtest/gtest.h"
#include "tests/support/latch.h"

namespace sluice::embedded {

inline constexpr std::string_view kTopic = "projects/test/topics/orders";
inline constexpr std::string_view kSubscription = "projects/test/subscriptions/billing";

class BrokerFixture : public testing::Test {
 protected:
  BrokerFixture() { Open(); }

  void Open() {
    auto opened = Broker::Open({.memory = store_, .clock = &clock_});
    ASSERT_TRUE(opened.ok()) << opened.status();
    broker_ = *std::move(opened);
    if (broker_->engine().topic_count() > 0) return;
    ASSERT_TRUE(broker_->CreateTopic(kTopic).ok());
    ASSERT_TRUE(broker_->CreateSubscription(kSubscription, kTopic).ok());
  }

  void Advance(absl::Duration d) {
    clock_.Advance(d);
    broker_->engine().timers().RunDue();
  }

  // All as one batch.
  void Publish(const std::vector<std::string>& payloads) {
    std::vector<OutgoingMessage> messages(payloads.size());
    for (size_t i = 0; i < payloads.size(); ++i) messages[i].data = payloads[i];
    auto publisher = broker_->OpenPublisher(kTopic);
    ASSERT_TRUE(publisher.ok()) << publisher.status();
    ASSERT_TRUE((*publisher)->PublishBatch(messages).get().ok());
  }

  std::unique_ptr<Subscriber> Subscribe(Subscriber::Handler handler,
                                        SubscriberOptions options = {}) {
    auto subscriber = broker_->Subscribe(kSubscription, std::move(handler), std::move(options));
    EXPECT_TRUE(subscriber.ok()) << subscriber.status();
    return *std::move(subscriber);
  }

  SubscriptionStats stats() const {
    return (*broker_->engine().FindSubscription(*SubscriptionName::Parse(kSubscription)))->stats();
  }

  // Until another thread has made `condition` true; no longer than a minute.
  template <class Fn>
  static void WaitUntil(Fn condition) {
    const SystemClock clock;
    const Instant end = clock.Now() + absl::Minutes(1);
    while (!condition()) {
      ASSERT_LT(clock.Now(), end) << "did not come true within a minute";
      std::this_thread::yield();
    }
  }

  ManualClock clock_;
  const std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  std::unique_ptr<Broker> broker_;
};

}  // namespace sluice::embedded
