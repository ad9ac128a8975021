// The subscriber's state machine on streams driven by hand and a clock that stands still.
#include "client/cpp/subscriber.h"

#include <functional>
#include <stdexcept>
#include <thread>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "sluice/v1/pubsub.pb.h"
#include "tests/support/answer.h"
#include "tests/support/fake_streams.h"

namespace sluice::client {
namespace {

using testing::ElementsAre;

constexpr char kSubscription[] = "projects/test/subscriptions/billing";

v1::SubscribeResponse Opened(int ack_deadline_seconds = 30) {
  v1::SubscribeResponse response;
  response.mutable_opened()->set_ack_deadline_seconds(ack_deadline_seconds);
  return response;
}

// Deliveries `first` to `last`, of messages with the same ids.
v1::SubscribeResponse Deliveries(uint64_t first, uint64_t last) {
  v1::SubscribeResponse response;
  for (uint64_t id = first; id <= last; ++id) {
    v1::Delivery& delivery = *response.add_deliveries();
    delivery.set_delivery_id(id);
    delivery.mutable_message()->set_message_id(std::to_string(id));
    delivery.mutable_message()->set_data("message " + std::to_string(id));
    delivery.set_attempt(1);
  }
  return response;
}

template <class Ranges>
std::vector<std::pair<uint64_t, uint64_t>> Pairs(const Ranges& ranges) {
  std::vector<std::pair<uint64_t, uint64_t>> pairs;
  for (const auto& range : ranges) pairs.emplace_back(range.first(), range.last());
  return pairs;
}

// A handler that acknowledges, but holds the message with this id until it is let go.
class HoldingHandler {
 public:
  explicit HoldingHandler(uint64_t held) : held_(held) {}

  Verdict operator()(const ReceivedMessage& message) {
    if (message.id == held_) {
      // A test that is over does not wait for us before it destroys this.
      Answer<int> released = released_;
      entered_.callback()(0);
      released.Wait();
    }
    return Verdict::Ack();
  }
  void WaitUntilEntered() { entered_.Wait(); }
  void LetGo() { released_.callback()(0); }

 private:
  const uint64_t held_;
  Answer<int> entered_;
  Answer<int> released_;
};

class SubscriberTest : public testing::Test {
 protected:
  Subscriber& Open(SubscriberOptions options = {.concurrency = 1},
                   SubscriberTarget target = {.subscription = kSubscription}) {
    return subscriber_.emplace(streams_.factory(), clock_, timers_, std::move(target),
                               std::move(options));
  }
  void Advance(absl::Duration d) {
    clock_.Advance(d);
    timers_.RunDue();
  }
  // The subscriber's first request, and the server's answer to it.
  v1::SubscribeRequest Handshake() {
    v1::SubscribeRequest request = streams_.NextRequest();
    streams_.Reply(Opened());
    return request;
  }

  // Starts with this handler, and returns when it holds the first of `count` deliveries.
  void StartWithDeliveries(HoldingHandler& handler, uint64_t count) {
    subscriber_->Start(std::ref(handler));
    Handshake();
    streams_.Reply(Deliveries(1, count));
    handler.WaitUntilEntered();
  }

  ManualClock clock_;
  TimerQueue timers_{clock_};
  FakeStreams<v1::SubscribeRequest> streams_;
  std::optional<Subscriber> subscriber_;
};

TEST_F(SubscriberTest, FirstRequestNamesTheTargetAndGrantsCredit) {
  Open({.max_outstanding_messages = 7, .max_outstanding_bytes = 900, .client_id = "till"});
  subscriber_->Start([](const ReceivedMessage&) { return Verdict::Ack(); });
  const v1::SubscribeRequest request = Handshake();
  EXPECT_EQ(request.subscription(), kSubscription);
  EXPECT_EQ(request.client_id(), "till");
  EXPECT_EQ(request.credit().messages(), 7);
  EXPECT_EQ(request.credit().bytes(), 900);
}

TEST_F(SubscriberTest, AckGivesBackItsCredit) {
  Open();
  subscriber_->Start([](const ReceivedMessage& message) {
    EXPECT_EQ(message.data, "message 5");
    return Verdict::Ack();
  });
  Handshake();
  streams_.Reply(Deliveries(5, 5));
  const v1::SubscribeRequest request = streams_.NextRequest();
  EXPECT_THAT(Pairs(request.acks()), ElementsAre(std::pair(5, 5)));
  EXPECT_EQ(request.credit().messages(), 1);
  EXPECT_GT(request.credit().bytes(), 0);
  while (subscriber_->counters().acked < 1) std::this_thread::yield();
}

TEST_F(SubscriberTest, VerdictsCollectWhileAWriteIsUnderWay) {
  Open();
  subscriber_->StartBatches([](auto) { return Verdict::Ack(); });
  Handshake();
  streams_.Reply(Deliveries(1, 3));
  EXPECT_THAT(Pairs(streams_.NextRequestUnwritten().acks()), ElementsAre(std::pair(1, 3)));
  streams_.Reply(Deliveries(4, 6));
  streams_.Reply(Deliveries(7, 9));
  while (subscriber_->counters().acked < 9) std::this_thread::yield();
  EXPECT_EQ(streams_.waiting_requests(), 0u);
  streams_.Written();
  // Everything was told before it was counted; one write may not have taken all of it.
  uint64_t acked_to = 3;
  while (acked_to < 9) {
    for (const auto& [first, last] : Pairs(streams_.NextRequest().acks())) {
      EXPECT_EQ(first, acked_to + 1);
      acked_to = last;
    }
  }
}

TEST_F(SubscriberTest, HandlerThatThrowsNacksAndNothingEnds) {
  Open({.concurrency = 1, .failure_delay = absl::Seconds(3)});
  subscriber_->Start([](const ReceivedMessage& message) -> Verdict {
    if (message.id == 1) throw std::runtime_error("bad message");
    return Verdict::Ack();
  });
  Handshake();
  streams_.Reply(Deliveries(1, 1));
  const v1::SubscribeRequest nacked = streams_.NextRequest();
  ASSERT_EQ(nacked.nacks_size(), 1);
  EXPECT_EQ(nacked.nacks(0).range().first(), 1u);
  EXPECT_EQ(nacked.nacks(0).delay().seconds(), 3);
  streams_.Reply(Deliveries(2, 2));
  EXPECT_THAT(Pairs(streams_.NextRequest().acks()), ElementsAre(std::pair(2, 2)));
  EXPECT_EQ(subscriber_->counters().threw, 1u);
}

TEST_F(SubscriberTest, SlowHandlerIsNackedAndItsVerdictIgnored) {
  HoldingHandler handler(1);
  Open({.concurrency = 1, .handler_timeout = absl::Seconds(5)});
  StartWithDeliveries(handler, 1);
  Advance(absl::Seconds(5));
  const v1::SubscribeRequest nacked = streams_.NextRequest();
  EXPECT_EQ(nacked.nacks_size(), 1);
  EXPECT_FALSE(nacked.has_credit()) << "it still takes memory and a worker";
  handler.LetGo();
  const v1::SubscribeRequest after = streams_.NextRequest();
  EXPECT_EQ(after.acks_size(), 0);
  EXPECT_EQ(after.credit().messages(), 1);
  EXPECT_EQ(subscriber_->counters().timed_out, 1u);
}

TEST_F(SubscriberTest, LeasesAreProlongedWhileMessagesWaitOrAreHandled) {
  HoldingHandler handler(1);
  Open();
  StartWithDeliveries(handler, 3);
  for (int third = 0; third < 3; ++third) {
    Advance(absl::Seconds(10));
    const v1::SubscribeRequest request = streams_.NextRequest();
    std::vector<std::pair<uint64_t, uint64_t>> extended;
    for (const v1::Extension& extension : request.extensions()) {
      extended.emplace_back(extension.range().first(), extension.range().last());
      EXPECT_EQ(extension.ack_deadline_seconds(), 30);
    }
    EXPECT_THAT(extended, ElementsAre(std::pair(1, 1), std::pair(2, 3)));
  }
  handler.LetGo();
}

TEST_F(SubscriberTest, ReconnectsAndForgetsWhatTheOldStreamDelivered) {
  HoldingHandler handler(1);
  Open();
  StartWithDeliveries(handler, 3);
  streams_.End(absl::UnavailableError("gone"));
  Advance(absl::Milliseconds(100));
  const v1::SubscribeRequest again = Handshake();
  EXPECT_EQ(again.subscription(), kSubscription);
  EXPECT_EQ(again.credit().messages(), 999) << "all but the one being handled";
  handler.LetGo();
  const v1::SubscribeRequest after = streams_.NextRequest();
  EXPECT_EQ(after.acks_size(), 0) << "the new stream does not know that delivery";
  EXPECT_EQ(after.credit().messages(), 1);
}

TEST_F(SubscriberTest, EphemeralSubscriptionGoesOnBehindWhatWasReceived) {
  SubscriberTarget target{.topic = "projects/test/topics/orders"};
  target.start.set_earliest(true);
  Open({.concurrency = 1}, target);
  subscriber_->Start([](const ReceivedMessage&) { return Verdict::Ack(); });
  EXPECT_TRUE(Handshake().ephemeral().start().earliest());
  streams_.Reply(Deliveries(8, 8));
  streams_.NextRequest();
  streams_.End(absl::UnavailableError("gone"));
  Advance(absl::Milliseconds(100));
  EXPECT_EQ(Handshake().ephemeral().start().message_id(), 9u);
}

TEST_F(SubscriberTest, WhereOrderCountsOneHandlerRunsAtATime) {
  HoldingHandler handler(1);
  Open({.concurrency = 4});
  subscriber_->Start(std::ref(handler));
  streams_.NextRequest();
  v1::SubscribeResponse opened = Opened();
  opened.mutable_opened()->set_message_ordering(true);
  streams_.Reply(opened);
  streams_.Reply(Deliveries(1, 3));
  handler.WaitUntilEntered();
  EXPECT_EQ(subscriber_->counters().acked, 0u) << "nothing overtakes the first";
  handler.LetGo();
  std::vector<std::pair<uint64_t, uint64_t>> acked;
  while (acked.empty() || acked.back().second < 3) {
    for (const auto& pair : Pairs(streams_.NextRequest().acks())) acked.push_back(pair);
  }
  EXPECT_TRUE(std::is_sorted(acked.begin(), acked.end()));
}

class ExactlyOnceSubscriberTest : public SubscriberTest {
 protected:
  // Three messages, acknowledged.
  void SetUp() override {
    Open({.concurrency = 1, .confirmed = [this](uint64_t id, const absl::Status& status) {
            told_.push_back(std::to_string(id) + " " +
                            std::string(absl::StatusCodeToString(status.code())));
          }});
    subscriber_->StartBatches([](std::span<const ReceivedMessage>) { return Verdict::Ack(); });
    streams_.NextRequest();
    v1::SubscribeResponse opened = Opened();
    opened.mutable_opened()->set_exactly_once_delivery(true);
    streams_.Reply(opened);
    streams_.Reply(Deliveries(1, 3));
    EXPECT_THAT(Pairs(streams_.NextRequest().acks()), ElementsAre(std::pair(1, 3)));
  }

  std::vector<std::string> told_;
};

TEST_F(ExactlyOnceSubscriberTest, EachAcknowledgementIsToldHowItEnded) {
  v1::SubscribeResponse response;
  v1::AckResult& confirmed = *response.add_ack_results();
  confirmed.mutable_range()->set_first(1);
  confirmed.mutable_range()->set_last(2);
  v1::AckResult& refused = *response.add_ack_results();
  refused.mutable_range()->set_first(3);
  refused.mutable_error()->set_code(static_cast<int32_t>(absl::StatusCode::kFailedPrecondition));
  streams_.Reply(response);
  EXPECT_THAT(told_, ElementsAre("1 OK", "2 OK", "3 FAILED_PRECONDITION"));
  streams_.Reply(response);
  EXPECT_EQ(told_.size(), 3u) << "once";
}

TEST_F(ExactlyOnceSubscriberTest, WhatAStreamLeavesOpenIsUnknown) {
  streams_.End(absl::UnavailableError("gone"));
  EXPECT_THAT(told_, ElementsAre("1 UNAVAILABLE", "2 UNAVAILABLE", "3 UNAVAILABLE"));
}

// Of a server that can be asked for what is held.
v1::SubscribeResponse OpenedBy(uint32_t incarnation) {
  v1::SubscribeResponse response = Opened();
  response.mutable_opened()->set_exactly_once_delivery(true);
  response.mutable_opened()->set_incarnation(incarnation);
  return response;
}
void AddTakenUp(uint64_t first, uint64_t last, uint64_t now, v1::SubscribeResponse* response) {
  v1::TakenUp& taken = *response->add_taken_up();
  taken.mutable_range()->set_first(first);
  taken.mutable_range()->set_last(last);
  taken.set_first_delivery_id(now);
}

class RestartedServerTest : public SubscriberTest {
 protected:
  // Messages 1 to 4, of which the handler holds the first.
  void SetUp() override {
    Open({.concurrency = 1, .confirmed = [this](uint64_t id, const absl::Status& status) {
            told_.push_back(std::to_string(id) + " " +
                            std::string(absl::StatusCodeToString(status.code())));
          }});
    subscriber_->Start([this](const ReceivedMessage& message) {
      handled_.push_back(message.id);
      return handler_(message);
    });
    EXPECT_TRUE(streams_.NextRequest().has_take_up());
    streams_.Reply(OpenedBy(7));
    streams_.Reply(Deliveries(1, 4));
    handler_.WaitUntilEntered();
  }
  ~RestartedServerTest() override { subscriber_.reset(); }

  // The first request of the next stream.
  v1::TakeUp Reconnect() {
    streams_.End(absl::UnavailableError("gone"));
    Advance(absl::Minutes(1));
    return streams_.NextRequest().take_up();
  }
  std::vector<std::pair<uint64_t, uint64_t>> AcksUntil(uint64_t last) {
    std::vector<std::pair<uint64_t, uint64_t>> acked;
    while (acked.empty() || acked.back().second < last) {
      for (const auto& pair : Pairs(streams_.NextRequest().acks())) acked.push_back(pair);
    }
    return acked;
  }

  HoldingHandler handler_{1};
  std::vector<uint64_t> handled_;
  std::vector<std::string> told_;
};

TEST_F(RestartedServerTest, WhatItStillKnowsIsHandledAndTheRestIsLeftToOthers) {
  const v1::TakeUp take_up = Reconnect();
  EXPECT_EQ(take_up.incarnation(), 7);
  ASSERT_EQ(take_up.held_size(), 1);
  EXPECT_EQ(take_up.held(0).range().first(), 1u);
  EXPECT_EQ(take_up.held(0).range().last(), 4u);
  EXPECT_EQ(take_up.held(0).first_message_id(), 1u);
  v1::SubscribeResponse opened = OpenedBy(8);
  AddTakenUp(1, 1, 21, &opened);
  AddTakenUp(3, 4, 33, &opened);
  streams_.Reply(opened);
  EXPECT_EQ(streams_.NextRequest().credit().messages(), 1) << "of the one that is lost";
  handler_.LetGo();
  const auto acked = AcksUntil(34);
  EXPECT_EQ(acked.front().first, 21u);
  EXPECT_THAT(handled_, ElementsAre(1, 3, 4));
}

TEST_F(RestartedServerTest, AVerdictOfMeanwhileIsToldAfterwards) {
  streams_.End(absl::UnavailableError("gone"));
  handler_.LetGo();
  while (subscriber_->counters().acked < 1) std::this_thread::yield();
  Advance(absl::Minutes(1));
  const v1::TakeUp take_up = streams_.NextRequest().take_up();
  EXPECT_THAT(Pairs(std::vector<v1::DeliveryRange>{take_up.held(0).range()}),
              ElementsAre(std::pair(1, 4)));
  v1::SubscribeResponse opened = OpenedBy(8);
  AddTakenUp(1, 1, 21, &opened);
  streams_.Reply(opened);
  EXPECT_THAT(AcksUntil(21), ElementsAre(std::pair(21, 21)));
  v1::SubscribeResponse answer;
  answer.add_ack_results()->mutable_range()->set_first(21);
  streams_.Reply(answer);
  EXPECT_THAT(told_, ElementsAre("1 OK"));
}

TEST_F(RestartedServerTest, AnAcknowledgementWithoutAnAnswerIsSentAgain) {
  handler_.LetGo();
  EXPECT_EQ(AcksUntil(4).front().first, 1u);
  EXPECT_EQ(Reconnect().held(0).range().last(), 4u);
  v1::SubscribeResponse opened = OpenedBy(8);
  AddTakenUp(1, 3, 21, &opened);
  streams_.Reply(opened);
  EXPECT_THAT(told_, ElementsAre("4 UNAVAILABLE"));
  EXPECT_THAT(AcksUntil(23), ElementsAre(std::pair(21, 23)));
}

TEST_F(RestartedServerTest, WhatItDoesNotKnowAnyMoreIsToldAsUnknown) {
  streams_.End(absl::UnavailableError("gone"));
  handler_.LetGo();
  while (subscriber_->counters().acked < 1) std::this_thread::yield();
  Advance(absl::Minutes(1));
  streams_.NextRequest();
  streams_.Reply(OpenedBy(8));
  EXPECT_THAT(told_, ElementsAre("1 UNAVAILABLE"));
}

TEST_F(RestartedServerTest, AnAcknowledgementThatIsTooEarlyIsSentAgain) {
  handler_.LetGo();
  AcksUntil(4);
  v1::SubscribeResponse answer;
  v1::AckResult& early = *answer.add_ack_results();
  early.mutable_range()->set_first(1);
  early.mutable_range()->set_last(4);
  early.mutable_error()->set_code(static_cast<int32_t>(absl::StatusCode::kFailedPrecondition));
  early.mutable_error()->set_reason("EARLIER_MESSAGE_OUTSTANDING");
  streams_.Reply(answer);
  Advance(absl::Milliseconds(200));
  EXPECT_THAT(AcksUntil(4), ElementsAre(std::pair(1, 4)));
  EXPECT_TRUE(told_.empty());
}

TEST_F(RestartedServerTest, WhoStopsTellsWhatWasDecidedMeanwhile) {
  Reconnect();
  handler_.LetGo();
  while (subscriber_->counters().acked < 1) std::this_thread::yield();
  std::thread server([&] {
    v1::SubscribeResponse opened = OpenedBy(8);
    AddTakenUp(1, 1, 21, &opened);
    streams_.Reply(opened);
    EXPECT_THAT(AcksUntil(21), ElementsAre(std::pair(21, 21)));
    streams_.WaitForCloseWrites();
    v1::SubscribeResponse answer;
    answer.add_ack_results()->mutable_range()->set_first(21);
    streams_.Reply(answer);
    streams_.End(absl::OkStatus());
  });
  EXPECT_TRUE(subscriber_->Stop(absl::Minutes(1)).ok());
  server.join();
  EXPECT_THAT(told_, ElementsAre("1 OK"));
}

TEST_F(RestartedServerTest, WhatWasTakenUpIsProlongedAndTakenUpOnceMore) {
  Reconnect();
  v1::SubscribeResponse opened = OpenedBy(8);
  AddTakenUp(1, 4, 21, &opened);
  streams_.Reply(opened);
  // At once, since some of their time has passed, and from then on.
  for (int i = 0; i < 2; ++i, Advance(absl::Seconds(10))) {
    const v1::SubscribeRequest extended = streams_.NextRequest();
    ASSERT_EQ(extended.extensions_size(), 1);
    EXPECT_EQ(extended.extensions(0).range().first(), 21u);
    EXPECT_EQ(extended.extensions(0).range().last(), 24u);
  }
  streams_.NextRequest();
  const v1::TakeUp again = Reconnect();
  EXPECT_EQ(again.incarnation(), 8);
  EXPECT_EQ(again.held(0).range().first(), 21u);
  EXPECT_EQ(again.held(0).range().last(), 24u);
  streams_.Reply(OpenedBy(9));
  handler_.LetGo();
  streams_.Reply(Deliveries(1, 1));
  EXPECT_THAT(AcksUntil(1), ElementsAre(std::pair(1, 1))) << "of the new stream, not of the first";
}

TEST_F(SubscriberTest, SilentServerIsGivenUp) {
  Open();
  subscriber_->Start([](const ReceivedMessage&) { return Verdict::Ack(); });
  streams_.NextRequest();
  Advance(absl::Seconds(9));
  EXPECT_FALSE(streams_.cancelled());
  Advance(absl::Seconds(1));
  EXPECT_TRUE(streams_.cancelled());
}

TEST_F(SubscriberTest, WhatWaitingCannotRepairEndsIt) {
  Answer<absl::Status> finished;
  Open({.finished = finished.callback()});
  subscriber_->Start([](const ReceivedMessage&) { return Verdict::Ack(); });
  streams_.NextRequest();
  streams_.End(absl::NotFoundError("no such subscription"));
  EXPECT_EQ(finished.Wait().code(), absl::StatusCode::kNotFound);
  Advance(absl::Minutes(1));
  EXPECT_EQ(streams_.opened(), 1);
}

TEST_F(SubscriberTest, StopTellsTheVerdictOfWhatIsRunning) {
  HoldingHandler handler(1);
  Open();
  StartWithDeliveries(handler, 2);
  std::thread server([&] {
    handler.LetGo();
    EXPECT_THAT(Pairs(streams_.NextRequest().acks()), ElementsAre(std::pair(1, 1)));
    streams_.WaitForCloseWrites();
    streams_.End(absl::OkStatus());
  });
  EXPECT_TRUE(subscriber_->Stop(absl::Minutes(1)).ok());
  server.join();
}

TEST_F(SubscriberTest, GarbageFromTheServerEndsTheStream) {
  Open();
  subscriber_->Start([](const ReceivedMessage&) { return Verdict::Ack(); });
  Handshake();
  const grpc::Slice garbage(std::string("\x12\xff\xff", 3));
  streams_.ReplyBytes(grpc::ByteBuffer(&garbage, 1));
  EXPECT_TRUE(streams_.cancelled());
}

}  // namespace
}  // namespace sluice::client
