// Ordering keys.
#include "core/base/error.h"
#include "tests/support/engine_fixture.h"
#include "tests/support/messages.h"

namespace sluice {
namespace {

class EngineOrderTest : public EngineFixture {
 protected:
  void Wire(bool exactly_once = false, std::optional<DeadLetterPolicy> dead_letter = std::nullopt) {
    ASSERT_EQ(CreateTopic("orders"), absl::OkStatus());
    ASSERT_EQ(CreateTopic("graveyard"), absl::OkStatus());
    SubscriptionConfig config;
    config.name = SubscriptionNamed("billing");
    config.topic = TopicNamed("orders");
    config.ordered = true;
    config.exactly_once = exactly_once;
    config.dead_letter = std::move(dead_letter);
    ASSERT_EQ(CreateSubscription(config), absl::OkStatus());
    one_ = Connect("billing");
  }
  // "a1 b1 a2": each a message of the key of its first letter.
  void Send(const std::vector<std::string>& names) {
    std::vector<OutgoingMessage> messages;
    for (const std::string& name : names) {
      messages.push_back({.data = name, .ordering_key = std::string_view(name).substr(0, 1)});
    }
    absl::Status stored;
    FindTopic("orders")->Publish(MakeBatch(messages),
                                 [&](const auto& published) { stored = published.status(); });
    ASSERT_EQ(stored, absl::OkStatus());
  }
  std::vector<Received> Take(const Wired& wired) {
    std::vector<Received> taken = Flatten(wired.consumer->Take());
    for (const Received& one : taken) leases_[one.data] = one.lease;
    return taken;
  }
  void Ack(const Wired& wired, const std::string& name) {
    wired.subscription->Ack(wired.id, {{leases_.at(name), leases_.at(name)}});
  }
  void Nack(const Wired& wired, const std::string& name) {
    wired.subscription->Nack(wired.id, {leases_.at(name), leases_.at(name)}, absl::ZeroDuration());
  }
  int64_t Backlog() { return FindSubscription("billing")->stats().backlog_messages; }

  Wired one_;
  std::map<std::string, LeaseId> leases_;
};

TEST_F(EngineOrderTest, MessagesOfAKeyComeInTheOrderOfTheirPublication) {
  Wire();
  Send({"a-1", "b-1", "a-2", "a-3"});
  Send({"b-2", "a-4"});
  EXPECT_EQ(Told(Take(one_)), "a-11 b-11 a-21 a-31 b-21 a-41");
}

TEST_F(EngineOrderTest, AnAcknowledgementLetsAnotherConsumerHaveTheKey) {
  Wire();
  one_.subscription->Detach(one_.id);
  const Wired holder = Connect("billing", 1);
  Send({"a-1", "a-2", "a-3"});
  EXPECT_EQ(Told(Take(holder)), "a-11");
  const Wired other = Connect("billing", 1);
  EXPECT_EQ(Told(Take(other)), "");
  Ack(holder, "a-1");
  EXPECT_EQ(Told(Take(other)), "a-21");
  const Wired third = Connect("billing", 1);
  EXPECT_EQ(Told(Take(third)), "");
  const LeaseId lease = leases_.at("a-2");
  other.subscription->AckConfirmed(other.id, {{lease, lease}}, [](const AckOutcome&) {});
  EXPECT_EQ(Told(Take(third)), "a-31");
}

TEST_F(EngineOrderTest, AFailureBringsTheLaterOnesOfItsKeyAgainAndNoOthers) {
  Wire();
  Send({"a-1", "b-1", "a-2", "a-3"});
  Take(one_);
  Ack(one_, "a-1");
  Nack(one_, "a-2");
  EXPECT_EQ(Told(Take(one_)), "a-22 a-31");
  EXPECT_EQ(FindSubscription("billing")->stats().leased_messages, 3);
}

TEST_F(EngineOrderTest, AnAckOfWhatComesAgainWithAnEarlierOneHasNoEffect) {
  Wire();
  Send({"a-1", "a-2"});
  Take(one_);
  const LeaseId old = leases_.at("a-2");
  Nack(one_, "a-1");
  one_.subscription->Ack(one_.id, {{old, old}});
  EXPECT_EQ(Told(Take(one_)), "a-12 a-21");
  EXPECT_EQ(Backlog(), 2);
}

TEST_F(EngineOrderTest, AnAckCountsOnceTheEarlierOnesAreIn) {
  Wire();
  Send({"a-1", "a-2"});
  Take(one_);
  Ack(one_, "a-2");
  EXPECT_EQ(Backlog(), 2);
  Ack(one_, "a-1");
  EXPECT_EQ(Backlog(), 0);
}

TEST_F(EngineOrderTest, AnAckIsUndoneWhenAnEarlierOneFails) {
  Wire();
  Send({"a-1", "a-2"});
  Take(one_);
  Ack(one_, "a-2");
  Nack(one_, "a-1");
  EXPECT_EQ(Told(Take(one_)), "a-12 a-21");
  Ack(one_, "a-1");
  Ack(one_, "a-2");
  EXPECT_EQ(Backlog(), 0);
}

TEST_F(EngineOrderTest, AKeyStaysWithItsConsumerAndDoesNotStopTheOthers) {
  Wire();
  Send({"a-1"});
  ASSERT_EQ(Told(Take(one_)), "a-11");
  const Wired two = Connect("billing");
  one_.subscription->Grant(one_.id, 0, Subscription::kNoByteLimit);
  Send({"a-2", "b-1", "c-1", "a-3"});
  const std::string first = Told(Take(one_));
  const std::string second = Told(Take(two));
  EXPECT_NE(first.find("a-21 "), std::string::npos) << first;
  EXPECT_NE(first.find("a-31"), std::string::npos) << first;
  EXPECT_EQ(second.find('a'), std::string::npos) << second;
}

TEST_F(EngineOrderTest, WhatWaitsForAConsumerWithoutCreditWaitsInOrder) {
  ASSERT_NO_FATAL_FAILURE(Wire());
  one_.subscription->Detach(one_.id);
  const Wired poor = Connect("billing", 1);
  const Wired rich = Connect("billing", 0);
  Send({"a-1", "a-2", "b-1"});
  ASSERT_EQ(Told(Take(poor)), "a-11");
  rich.subscription->Grant(rich.id, 10, Subscription::kNoByteLimit);
  EXPECT_EQ(Told(Take(rich)), "b-11");
  EXPECT_EQ(FindSubscription("billing")->stats().held_messages, 1);
  Ack(poor, "a-1");
  Send({"a-3"});
  EXPECT_EQ(Told(Take(rich)), "a-21 a-31");
}

TEST_F(EngineOrderTest, AKeyIsReleasedWhenItsHeadIsDeadLettered) {
  Wire(false, DeadLetterPolicy{.topic = TopicNamed("graveyard"), .max_attempts = 5});
  Send({"a-1", "a-2", "b-1"});
  for (int i = 1; i <= 5; ++i) {
    Take(one_);
    Nack(one_, "a-1");
    Advance(absl::Seconds(1));
  }
  EXPECT_EQ(Told(Take(one_)), "a-21");
  EXPECT_EQ(FindTopic("graveyard")->stats().published_messages, 1);
  Ack(one_, "a-2");
  Ack(one_, "b-1");
  EXPECT_EQ(Backlog(), 0);
}

TEST_F(EngineOrderTest, AKeyIsReleasedAlsoWhenItsHeadCannotBeBuried) {
  Wire(false, DeadLetterPolicy{.topic = TopicNamed("graveyard"), .max_attempts = 5});
  engine_->DeleteTopic(TopicNamed("graveyard"), [](const absl::Status&) {});
  Send({"a-1", "a-2"});
  for (int i = 1; i <= 5; ++i) {
    Take(one_);
    Nack(one_, "a-1");
    Advance(absl::Seconds(1));
  }
  Take(one_);
  Advance(absl::Seconds(11));
  // In order still, and condemned again only when it fails again.
  EXPECT_EQ(Told(Take(one_)), "a-16 a-21");
}

TEST_F(EngineOrderTest, OrderAndAttemptsSurviveARestart) {
  Wire();
  Send({"a-1", "a-2", "b-1"});
  Take(one_);
  Nack(one_, "a-1");
  ASSERT_EQ(Told(Take(one_)), "a-12 a-21");
  Ack(one_, "b-1");
  Reopen();
  one_ = Connect("billing");
  EXPECT_EQ(Told(Take(one_)), "a-12 a-21");
}

TEST_F(EngineOrderTest, WhatWasOutOrHeldBackBeforeARestartHasNoAttempts) {
  Wire();
  one_.subscription->Detach(one_.id);
  const Wired poor = Connect("billing", 1);
  Send({"a-1", "a-2", "b-1"});
  const Wired rich = Connect("billing");
  ASSERT_EQ(Told(Take(rich)), "b-11");
  Reopen();
  one_ = Connect("billing");
  EXPECT_EQ(Told(Take(one_)), "a-11 a-21 b-11");
}

TEST_F(EngineOrderTest, AConsumerThatGoesLeavesItsKeysToOthersInOrder) {
  Wire();
  Send({"a-1", "a-2", "b-1"});
  Take(one_);
  const Wired two = Connect("billing");
  one_.subscription->Detach(one_.id);
  EXPECT_EQ(Told(Take(two)), "a-11 a-21 b-11");
}

TEST_F(EngineOrderTest, AnExpiredLeaseBringsItsKeyAgainInOrder) {
  Wire();
  Send({"a-1", "a-2", "a-3"});
  Take(one_);
  Advance(absl::Seconds(10));
  EXPECT_EQ(Told(Take(one_)), "a-12 a-21 a-31");
}

TEST_F(EngineOrderTest, AConfirmedAckNeedsTheEarlierOnesFirst) {
  Wire(true);
  Send({"a-1", "a-2"});
  Take(one_);
  AckOutcome outcome;
  const auto keep = [&](AckOutcome o) { outcome = std::move(o); };
  one_.subscription->AckConfirmed(one_.id, {{leases_.at("a-2"), leases_.at("a-2")}}, keep);
  EXPECT_EQ(outcome.too_early.size(), 1);
  EXPECT_TRUE(outcome.confirmed.empty());
  one_.subscription->AckConfirmed(one_.id, {{leases_.at("a-1"), leases_.at("a-2")}}, keep);
  EXPECT_EQ(outcome.confirmed.size(), 2);
  EXPECT_EQ(Backlog(), 0);
}

TEST_F(EngineOrderTest, ConfirmedNacksOfSeveralMessagesOfAKeyAreAllConfirmed) {
  Wire(true);
  Send({"a-1", "a-2", "a-3"});
  Take(one_);
  const auto nack = [&](const char* first, const char* last) {
    uint64_t confirmed = 0;
    for (const LeaseRange& part : one_.subscription->NackConfirmed(
             one_.id, {{leases_.at(first), leases_.at(last)}}, absl::Seconds(1))) {
      confirmed += part.last - part.first + 1;
    }
    return confirmed;
  };
  EXPECT_EQ(nack("a-1", "a-3"), 3u);
  Advance(absl::Seconds(1));
  EXPECT_EQ(Told(Take(one_)), "a-12 a-21 a-31") << "the first alone has failed";

  // In several calls, until they are delivered again.
  const LeaseId last = leases_.at("a-3");
  EXPECT_EQ(nack("a-1", "a-1"), 1u);
  EXPECT_EQ(nack("a-2", "a-2"), 1u);
  EXPECT_EQ(nack("a-3", "a-3"), 1u);
  EXPECT_EQ(one_.subscription->WhyOver(last, Offset(3)), "an earlier message of its key failed");
  Advance(absl::Seconds(1));
  Take(one_);
  EXPECT_TRUE(
      one_.subscription->NackConfirmed(one_.id, {{last, last}}, absl::ZeroDuration()).empty());
}

TEST_F(EngineOrderTest, RefusedAcknowledgementsHaveAReason) {
  Wire(true);
  Send({"a-1"});
  Take(one_);
  const LeaseId expired = leases_.at("a-1");
  Advance(absl::Seconds(10));
  Take(one_);
  EXPECT_EQ(one_.subscription->WhyOver(expired, Offset(1)), "ack deadline passed");
  const LeaseId nacked = leases_.at("a-1");
  Nack(one_, "a-1");
  Advance(absl::Seconds(1));
  Take(one_);
  EXPECT_EQ(one_.subscription->WhyOver(nacked, Offset(1)), "nacked");
  EXPECT_EQ(one_.subscription->WhyOver(LeaseId(100), Offset(1)), "never leased");
  one_.subscription->AckConfirmed(one_.id, {{LeaseId(1), LeaseId(100)}}, [](const auto&) {});
  EXPECT_EQ(one_.subscription->WhyOver(nacked, Offset(1)), "acknowledged already");
}

TEST_F(EngineOrderTest, MessagesWithoutAKeyAreNotKeptInOrder) {
  Wire();
  absl::Status stored;
  FindTopic("orders")->Publish(
      MakeBatch(std::vector<OutgoingMessage>{
          {.data = "x"}, {.data = "k", .ordering_key = "k"}, {.data = "y"}}),
      [&](const auto& published) { stored = published.status(); });
  Take(one_);
  Nack(one_, "x");
  EXPECT_EQ(Told(Take(one_)), "x2");
}

TEST_F(EngineOrderTest, OnlyKeysInFlightTakeMemory) {
  Wire();
  one_.subscription->Detach(one_.id);
  const Wired poor = Connect("billing", 3);
  for (int i = 0; i < 100; ++i) Send({"a", "b", "c", "d", "e"});
  EXPECT_EQ(Told(Take(poor)), "a1 b1 c1");
  EXPECT_EQ(FindSubscription("billing")->stats().held_messages, 0);
}

// After five failed deliveries, and when they expire, messages go to a topic "graveyard", read by
// "undertaker".
class EngineOrderDeadLetterTest : public EngineOrderTest {
 protected:
  void SetUp() override {
    Wire(false, DeadLetterPolicy{
                    .topic = TopicNamed("graveyard"), .max_attempts = 5, .expired_too = true});
    ASSERT_EQ(CreateSubscription("undertaker", "graveyard"), absl::OkStatus());
  }
  absl::Status Publish(const std::vector<OutgoingMessage>& messages) {
    absl::Status stored;
    FindTopic("orders")->Publish(MakeBatch(messages),
                                 [&](const auto& published) { stored = published.status(); });
    return stored;
  }
  // Nacks it this often, and takes what comes then.
  void FailTimes(const std::string& name, int times) {
    Take(one_);
    for (int i = 0; i < times; ++i) {
      Nack(one_, name);
      Advance(absl::Seconds(1));
      Take(one_);
    }
  }
  void LoseTheGraveyard() {
    engine_->DeleteTopic(TopicNamed("graveyard"),
                         [](const auto& status) { ASSERT_EQ(status, absl::OkStatus()); });
  }
};

TEST_F(EngineOrderDeadLetterTest, WhatWasUsedUpBeforeARestartGoesWhenItIsMetAloneAfterIt) {
  Send({"a-1"});
  FailTimes("a-1", 4);
  ASSERT_EQ(leases_.count("a-1"), 1u) << "the fifth attempt is under way";
  Nack(one_, "a-1");
  Reopen();
  Connect("billing");
  Advance(absl::ZeroDuration());
  EXPECT_EQ(Told(Take(Connect("undertaker"))), "a-11");
}

TEST_F(EngineOrderDeadLetterTest, WhatWaitsBehindADeadLetterForItsTimeComesAtThatTime) {
  ASSERT_EQ(Publish({{.data = "a-1", .ordering_key = "a"},
                     {.data = "a-2",
                      .ordering_key = "a",
                      .deliver_at = clock_.WallNow() + absl::Minutes(1)}}),
            absl::OkStatus());
  Take(one_);
  FailTimes("a-1", 5);
  ASSERT_EQ(Backlog(), 1) << "a-1 is dead-lettered";
  Advance(absl::Minutes(1));
  EXPECT_EQ(Told(Take(one_)), "a-21");
}

TEST_F(EngineOrderDeadLetterTest, TwoOfAKeyThatCannotBeCopiedBothComeAgain) {
  Send({"a-1", "a-2"});
  Take(one_);
  FailTimes("a-1", 4);
  FailTimes("a-2", 4);
  LoseTheGraveyard();
  // No timer runs between the two.
  Nack(one_, "a-2");
  Nack(one_, "a-1");
  Advance(absl::ZeroDuration());
  EXPECT_EQ(Told(Take(one_)), "");
  Advance(absl::Seconds(10));
  EXPECT_EQ(Told(Take(one_)), "a-16 a-26");
}

TEST_F(EngineOrderDeadLetterTest,
       WhatExpiredAndCannotBeCopiedDoesNotComeOutOfOrderWhenTheClockIsSetBack) {
  one_.subscription->Detach(one_.id);
  ASSERT_EQ(
      Publish(
          {{.data = "a-1", .ordering_key = "a", .expire_at = clock_.WallNow() + absl::Seconds(5)},
           {.data = "a-2", .ordering_key = "a"}}),
      absl::OkStatus());
  LoseTheGraveyard();
  Advance(absl::Seconds(5));
  const Wired wired = Connect("billing");
  Advance(absl::ZeroDuration());
  clock_.JumpWall(-absl::Hours(1));
  std::string came = Told(Take(wired));
  Advance(absl::Seconds(10));
  came += Told(Take(wired));
  EXPECT_EQ(came, "a-11 a-21");
}

}  // namespace
}  // namespace sluice
