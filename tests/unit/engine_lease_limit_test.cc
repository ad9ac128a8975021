// No more messages are delivered and not settled than there may be, and what waits for that is not
// forgotten.
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EngineLeaseLimitTest : public EngineFixture {
 protected:
  EngineLeaseLimitTest() : EngineFixture({.leases = {.server = 5, .subscription = 3}}) {
    EXPECT_TRUE(CreateTopic("orders").ok());
    for (const char* name : {"billing", "stock"})
      EXPECT_TRUE(CreateSubscription(name, "orders").ok());
  }
  void AckAll(const Wired& wired) {
    wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
  }
  std::vector<std::string> Later(const Wired& wired) {
    Advance(absl::ZeroDuration());
    return wired.consumer->TakeData();
  }
};

TEST_F(EngineLeaseLimitTest, ASubscriptionStopsAtItsLimitAndGoesOnWhenMessagesAreAcknowledged) {
  const auto billing = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c", "d", "e"}).ok());
  EXPECT_THAT(billing.consumer->TakeData(), ElementsAre("a", "b", "c"));
  billing.subscription->Ack(billing.id, {{LeaseId(2), LeaseId(2)}});
  EXPECT_THAT(Later(billing), ElementsAre("d"));
  billing.subscription->Ack(billing.id, {{LeaseId(1), LeaseId(1)}});
  EXPECT_THAT(Later(billing), ElementsAre("e"));
}

TEST_F(EngineLeaseLimitTest, SubscriptionsShareWhatTheServerMayLease) {
  const auto billing = Connect("billing");
  const auto stock = Connect("stock");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  EXPECT_THAT(billing.consumer->deliveries().size() + stock.consumer->deliveries().size(), 2u);
  EXPECT_EQ(
      billing.subscription->stats().leased_messages + stock.subscription->stats().leased_messages,
      5);
  AckAll(billing);
  AckAll(stock);
  EXPECT_THAT(Later(billing).size() + Later(stock).size(), 1u);
}

TEST_F(EngineLeaseLimitTest, LeasesThatExpireMakeRoom) {
  const auto billing = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c", "d"}).ok());
  EXPECT_THAT(billing.consumer->TakeData(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Later(billing), IsEmpty());
  Advance(absl::Seconds(10));
  EXPECT_THAT(billing.consumer->TakeData(), ElementsAre("a", "b", "c"));
}

TEST_F(EngineLeaseLimitTest, ANackMakesRoom) {
  const auto billing = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c", "d"}).ok());
  billing.consumer->Take();
  billing.subscription->Nack(billing.id, {LeaseId(1), LeaseId(1)}, absl::Minutes(5));
  EXPECT_THAT(Later(billing), ElementsAre("d"));
}

TEST_F(EngineLeaseLimitTest, AConsumerThatGoesMakesRoomForOtherSubscriptions) {
  const auto billing = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto stock = Connect("stock");
  EXPECT_THAT(stock.consumer->TakeData(), ElementsAre("a", "b"));
  billing.subscription->Detach(billing.id);
  EXPECT_THAT(Later(stock), ElementsAre("c"));
}

TEST_F(EngineLeaseLimitTest, ASubscriptionThatIsDeletedMakesRoomForOthers) {
  Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c"}).ok());
  const auto stock = Connect("stock");
  EXPECT_THAT(stock.consumer->TakeData(), ElementsAre("a", "b"));
  engine_->DeleteSubscription(SubscriptionNamed("billing"),
                              [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_THAT(Later(stock), ElementsAre("c"));
}

TEST_F(EngineLeaseLimitTest, SeekingEndsLeasesAndMakesRoom) {
  const auto billing = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"a", "b", "c", "d"}).ok());
  billing.consumer->Take();
  engine_->Seek(SubscriptionNamed("billing"), Latest{},
                [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  ASSERT_TRUE(Publish("orders", {"e", "f", "g"}).ok());
  EXPECT_THAT(Later(billing), ElementsAre("e", "f", "g"));
}

}  // namespace
}  // namespace sluice
