// Opening and closing leaves nothing: no thread, no descriptor, no byte.
#include "tests/support/broker_fixture.h"
#include "tests/support/footprint.h"
#include "tests/support/temp_folder.h"

namespace sluice::embedded {
namespace {

// A whole life: opened, a message there and back, closed.
void Live(const BrokerOptions& options) {
  auto broker = *Broker::Open(options);
  static_cast<void>(broker->CreateTopic(kTopic));
  static_cast<void>(broker->CreateSubscription(kSubscription, kTopic));
  Latch handled(1);
  auto subscriber = broker->Subscribe(kSubscription, [&](const Message&) {
    handled.CountDown();
    return Verdict::Ack();
  });
  auto publisher = *broker->OpenPublisher(kTopic);
  ASSERT_TRUE(publisher->Publish({.data = "x"}).get().ok());
  handled.Wait();
  ASSERT_TRUE(broker->Close(absl::Minutes(1)).ok());
}

// What is left after so many lives, from the first ones on: what libraries set up once does not
// count.
void ExpectNothingLeft(const BrokerOptions& options, int lives, size_t heap_bytes) {
  for (int i = 0; i < 10; ++i) Live(options);
  const Footprint before = Footprint::Now();
  for (int i = 0; i < lives; ++i) Live(options);
  const Footprint after = Footprint::Now();
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_LE(after.heap_bytes, before.heap_bytes + heap_bytes);
}

TEST(ResourceManagement, AThousandTimesInMemoryLeavesNothing) {
  ExpectNothingLeft({}, kSanitized ? 100 : 1000, 4096);
}

TEST(ResourceManagement, AThousandTimesInAFolderLeavesNothing) {
  TempFolder folder;
  ExpectNothingLeft({.folder = folder.path(), .durability = Durability::kOs},
                    kSanitized ? 20 : 1000, 65536);
}

TEST(ResourceManagement, AThousandSubscribersLeaveNothing) {
  auto broker = *Broker::Open();
  ASSERT_TRUE(broker->CreateTopic(kTopic).ok());
  ASSERT_TRUE(broker->CreateSubscription(kSubscription, kTopic).ok());
  Footprint before;
  for (int i = 0; i < 1100; ++i) {
    if (i == 100) before = Footprint::Now();
    auto publisher = *broker->OpenPublisher(kTopic);
    // What is not handled waits for the next one, and takes memory meanwhile.
    Latch handled(1);
    auto subscriber = *broker->Subscribe(kSubscription, [&](const Message&) {
      handled.CountDown();
      return Verdict::Ack();
    });
    ASSERT_TRUE(publisher->Publish({.data = "x"}).get().ok());
    handled.Wait();
  }
  const Footprint after = Footprint::Now();
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_LE(after.heap_bytes, before.heap_bytes + 8192);
}

TEST(ResourceManagement, AFolderThatCannotBeOpenedLeavesNothing) {
  TempFolder folder;
  auto holder = *Broker::Open({.folder = folder.path()});
  const auto fails = [&] {
    EXPECT_EQ(ReasonOf(Broker::Open({.folder = folder.path()}).status()), Reason::kDataFolderInUse);
  };
  fails();
  const Footprint before = Footprint::Now();
  for (int i = 0; i < 100; ++i) fails();
  const Footprint after = Footprint::Now();
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_LE(after.heap_bytes, before.heap_bytes + 4096);
}

}  // namespace
}  // namespace sluice::embedded
