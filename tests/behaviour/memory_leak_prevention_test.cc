// Memory stays flat however many messages go through. What leaks outright AddressSanitizer finds
// (preset asan); this finds what is kept and should not be.
#include "tests/support/broker_fixture.h"
#include "tests/support/footprint.h"

namespace sluice::embedded {
namespace {

TEST(MemoryLeakPrevention, TenMillionMessagesLeaveMemoryFlat) {
  constexpr uint64_t kBatch = 1000;
  constexpr uint64_t kMessages = kSanitized ? 200'000 : 10'000'000;
  auto broker = *Broker::Open();
  ASSERT_TRUE(broker->CreateTopic(kTopic).ok());
  ASSERT_TRUE(broker->CreateSubscription(kSubscription, kTopic).ok());
  std::atomic<uint64_t> handled = 0;
  auto subscriber = broker->SubscribeBatches(kSubscription,
                                             [&](std::span<const Message> messages) {
                                               handled += messages.size();
                                               return Verdict::Ack();
                                             },
                                             {.max_outstanding_messages = 10'000});
  auto publisher = *broker->OpenPublisher(kTopic);
  const std::string data(100, 'x');
  const std::vector<OutgoingMessage> batch(kBatch,
                                           {.data = data, .attributes = {{"key", "value"}}});
  Footprint warm;
  size_t most = 0;
  for (uint64_t published = 0; published < kMessages; published += kBatch) {
    ASSERT_TRUE(publisher->PublishBatch(batch).get().ok());
    // So that a backlog does not look like a leak.
    while (handled + 10 * kBatch < published) std::this_thread::yield();
    if (published % (kMessages / 20) == 0) {
      const Footprint now = Footprint::Now();
      if (published == kMessages / 10) warm = now;
      if (published > kMessages / 10) most = std::max(most, now.heap_bytes);
    }
  }
  while (handled < kMessages) std::this_thread::yield();
  EXPECT_TRUE(broker->Close(absl::Minutes(1)).ok());
  // Ten batches of 120 KB may be on their way at any time, and each of them twice.
  EXPECT_LE(most, warm.heap_bytes + (4 << 20));
  EXPECT_EQ((*subscriber)->counters().acked, kMessages);
}

TEST(MemoryLeakPrevention, FailuresLeaveMemoryFlat) {
  constexpr int kMessages = kSanitized ? 2'000 : 100'000;
  auto broker = *Broker::Open();
  ASSERT_TRUE(broker->CreateTopic(kTopic).ok());
  ASSERT_TRUE(broker->CreateSubscription(kSubscription, kTopic).ok());
  auto subscriber = broker->Subscribe(
      kSubscription,
      [](const Message& message) {
        if (message.attempt() == 1 && message.id() % 10 == 0) throw std::runtime_error("no");
        return message.attempt() == 1 && message.id() % 10 == 1 ? Verdict::Nack() : Verdict::Ack();
      },
      {.failure_delay = absl::ZeroDuration()});
  auto publisher = *broker->OpenPublisher(kTopic, {.max_messages = 1000});
  Footprint warm;
  for (int i = 1; i <= kMessages; ++i) {
    publisher->Publish({.data = "x"}, nullptr);
    // Measured when nothing is on its way.
    const bool measure = i == kMessages / 10 || i == kMessages;
    const int most = measure ? 0 : 2000;
    while ((*subscriber)->counters().acked + most < static_cast<uint64_t>(i))
      std::this_thread::yield();
    if (i == kMessages / 10) warm = Footprint::Now();
  }
  const Footprint end = Footprint::Now();
  EXPECT_LE(end.heap_bytes, warm.heap_bytes + (1 << 20));
}

}  // namespace
}  // namespace sluice::embedded
