// The publisher's state machine on streams driven by hand and a clock that stands still.
#include "client/cpp/publisher.h"

#include <thread>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "sluice/v1/pubsub.pb.h"
#include "tests/support/answer.h"
#include "tests/support/fake_streams.h"

namespace sluice::client {
namespace {

using testing::ElementsAre;

constexpr char kTopic[] = "projects/test/topics/orders";

std::vector<std::string> Payloads(const v1::PublishRequest& request) {
  std::vector<std::string> payloads;
  for (const v1::Message& message : request.messages()) payloads.push_back(message.data());
  return payloads;
}

v1::PublishResponse Stored(uint64_t batch_id, uint64_t first_id) {
  v1::PublishResponse response;
  response.add_results()->set_batch_id(batch_id);
  response.mutable_results(0)->set_first_message_id(first_id);
  return response;
}

v1::PublishResponse Refused(uint64_t batch_id, absl::StatusCode code, std::string_view reason,
                            int delay_seconds = 0) {
  v1::PublishResponse response;
  v1::PublishResult& result = *response.add_results();
  result.set_batch_id(batch_id);
  result.mutable_error()->set_code(static_cast<int>(code));
  result.mutable_error()->set_reason(std::string(reason));
  if (delay_seconds > 0) result.mutable_error()->mutable_retry_delay()->set_seconds(delay_seconds);
  return response;
}

class PublisherTest : public testing::Test {
 protected:
  using Id = Answer<absl::StatusOr<uint64_t>>;

  Publisher& Open(PublisherOptions options = {}) {
    publisher_.emplace(streams_.factory(), clock_, timers_, kTopic, std::move(options));
    return *publisher_;
  }
  Id Publish(std::string data) {
    Id id;
    publisher_->Publish({.data = std::move(data)}, id.callback());
    return id;
  }
  void Advance(absl::Duration d) {
    clock_.Advance(d);
    timers_.RunDue();
  }

  ManualClock clock_;
  TimerQueue timers_{clock_};
  FakeStreams<v1::PublishRequest> streams_;
  std::optional<Publisher> publisher_;
};

TEST_F(PublisherTest, BatchGoesWhenItIsFull) {
  Open({.batch_messages = 2});
  Id first = Publish("a");
  EXPECT_EQ(streams_.opened(), 0);
  Id second = Publish("b");
  const v1::PublishRequest request = streams_.NextRequest();
  EXPECT_EQ(request.topic(), kTopic);
  EXPECT_THAT(Payloads(request), ElementsAre("a", "b"));
  streams_.Reply(Stored(request.batch_id(), 70));
  EXPECT_EQ(*first.Wait(), 70u);
  EXPECT_EQ(*second.Wait(), 71u);
}

TEST_F(PublisherTest, BatchGoesWhenItsFirstMessageHasWaitedLongEnough) {
  Open({.batch_delay = absl::Milliseconds(5)});
  Publish("a");
  Advance(absl::Milliseconds(4));
  EXPECT_EQ(streams_.opened(), 0);
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(Payloads(streams_.NextRequest()), ElementsAre("a"));
}

TEST_F(PublisherTest, BatchGoesBeforeItExceedsTheBytes) {
  Open({.batch_bytes = 100});
  Publish(std::string(60, 'a'));
  Publish(std::string(60, 'b'));
  EXPECT_THAT(Payloads(streams_.NextRequest()), ElementsAre(std::string(60, 'a')));
}

TEST_F(PublisherTest, WithoutDelayMessagesCollectOnlyWhileAWriteIsUnderWay) {
  Open({.batch_delay = absl::ZeroDuration()});
  Publish("a");
  EXPECT_THAT(Payloads(streams_.NextRequestUnwritten()), ElementsAre("a"));
  Publish("b");
  Publish("c");
  EXPECT_EQ(streams_.waiting_requests(), 0u);
  streams_.Written();
  EXPECT_THAT(Payloads(streams_.NextRequest()), ElementsAre("b", "c"));
}

TEST_F(PublisherTest, LostConnectionSendsWhatWasNotAnsweredAgainInOrder) {
  Open({.batch_messages = 1});
  Id a = Publish("a");
  const v1::PublishRequest first = streams_.NextRequest();
  Id b = Publish("b");
  streams_.NextRequest();
  Id c = Publish("c");
  streams_.NextRequestUnwritten();
  streams_.Reply(Stored(first.batch_id(), 1));
  EXPECT_EQ(*a.Wait(), 1u);
  streams_.End(absl::UnavailableError("gone"));
  EXPECT_FALSE(streams_.open()) << "no new stream before the backoff";
  Advance(absl::Milliseconds(100));
  ASSERT_TRUE(streams_.open());
  for (const char* payload : {"b", "c"}) {
    const v1::PublishRequest again = streams_.NextRequest();
    EXPECT_THAT(Payloads(again), ElementsAre(payload));
    EXPECT_EQ(again.topic(), payload == std::string("b") ? kTopic : "")
        << "the first request of a stream names the topic";
    streams_.Reply(Stored(again.batch_id(), 10));
  }
  EXPECT_TRUE(b.Wait().ok());
  EXPECT_TRUE(c.Wait().ok());
  EXPECT_EQ(b.calls(), 1);
}

TEST_F(PublisherTest, BackoffDoublesAndHasALimit) {
  Open({.batch_messages = 1, .deadline = absl::Hours(1)});
  Publish("a");
  absl::Duration expected = absl::Milliseconds(100);
  for (int attempt = 1; attempt < 12; ++attempt) {
    ASSERT_TRUE(streams_.open());
    streams_.End(absl::UnavailableError("gone"));
    const Instant lost = clock_.Now();
    while (!streams_.open() && clock_.Now() - lost <= expected) Advance(absl::Milliseconds(1));
    EXPECT_GE(clock_.Now() - lost, expected / 2);
    expected = std::min(expected * 2, absl::Seconds(10));
  }
}

// Also when a newer server has a reason that this client does not know.
TEST_F(PublisherTest, RefusalForTheMomentIsSentAgainAfterItsDelay) {
  Open({.batch_messages = 1});
  Id a = Publish("a");
  const v1::PublishRequest request = streams_.NextRequest();
  streams_.Reply(
      Refused(request.batch_id(), absl::StatusCode::kResourceExhausted, "OUT_OF_LUCK", 3));
  Advance(absl::Milliseconds(2999));
  EXPECT_EQ(streams_.waiting_requests(), 0u);
  Advance(absl::Milliseconds(1));
  const v1::PublishRequest again = streams_.NextRequest();
  EXPECT_EQ(again.batch_id(), request.batch_id());
  streams_.Reply(Stored(again.batch_id(), 5));
  EXPECT_EQ(*a.Wait(), 5u);
}

TEST_F(PublisherTest, RefusalForGoodReachesTheCallerWithItsReason) {
  Open({.batch_messages = 1});
  Id a = Publish("a");
  const v1::PublishRequest request = streams_.NextRequest();
  streams_.Reply(Refused(request.batch_id(), absl::StatusCode::kNotFound, "TOPIC_NOT_FOUND"));
  const absl::Status status = a.Wait().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(status), Reason::kTopicNotFound);
}

TEST_F(PublisherTest, StreamThatMayNotBeReopenedFailsEverything) {
  Open({.batch_messages = 1});
  Id a = Publish("a");
  streams_.NextRequest();
  streams_.End(absl::PermissionDeniedError("no"));
  EXPECT_EQ(a.Wait().status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(PublisherTest, DeadlinePassesWhetherItWaitsOrIsInFlight) {
  Open({.batch_messages = 1, .deadline = absl::Seconds(2)});
  Id in_flight = Publish("a");
  const v1::PublishRequest request = streams_.NextRequestUnwritten();
  Id waiting = Publish("b");
  Advance(absl::Seconds(2));
  EXPECT_EQ(ReasonOf(in_flight.Wait().status()), Reason::kDeadlineExceeded);
  EXPECT_EQ(ReasonOf(waiting.Wait().status()), Reason::kDeadlineExceeded);
  // The answer that comes late changes nothing, and what is published next goes through.
  streams_.Written();
  streams_.Reply(Stored(request.batch_id(), 1));
  EXPECT_EQ(in_flight.calls(), 1);
  Id next = Publish("c");
  const v1::PublishRequest third = streams_.NextRequest();
  EXPECT_THAT(Payloads(third), ElementsAre("c"));
  streams_.Reply(Stored(third.batch_id(), 2));
  EXPECT_EQ(*next.Wait(), 2u);
}

TEST_F(PublisherTest, AnswerToABatchThatWasNotSentEndsTheStream) {
  Open({.batch_messages = 1});
  Publish("a");
  const v1::PublishRequest request = streams_.NextRequest();
  streams_.Reply(Stored(request.batch_id() + 1, 1));
  EXPECT_TRUE(streams_.cancelled());
}

TEST_F(PublisherTest, FullPublisherRefusesWhenAskedTo) {
  Open({.batch_messages = 1, .max_messages = 1, .when_full = PublisherOptions::WhenFull::kReject});
  Id a = Publish("a");
  EXPECT_EQ(ReasonOf(Publish("b").Wait().status()), Reason::kTooMuchInFlight);
  const v1::PublishRequest request = streams_.NextRequest();
  streams_.Reply(Stored(request.batch_id(), 1));
  EXPECT_TRUE(a.Wait().ok());
  Id c = Publish("c");
  EXPECT_THAT(Payloads(streams_.NextRequest()), ElementsAre("c"));
}

TEST_F(PublisherTest, FullPublisherBlocksUntilThereIsRoom) {
  Open({.batch_messages = 1, .max_messages = 1});
  Publish("a");
  const v1::PublishRequest request = streams_.NextRequest();
  std::thread blocked([&] { Publish("b"); });
  streams_.Reply(Stored(request.batch_id(), 1));
  EXPECT_THAT(Payloads(streams_.NextRequest()), ElementsAre("b"));
  blocked.join();
}

TEST_F(PublisherTest, CloseWaitsForTheAnswers) {
  Open();
  Id a = Publish("a");
  std::thread server([&] {
    const v1::PublishRequest request = streams_.NextRequest();
    streams_.Reply(Stored(request.batch_id(), 1));
    streams_.WaitForCloseWrites();
    streams_.End(absl::OkStatus());
  });
  EXPECT_TRUE(publisher_->Close(absl::Minutes(1)).ok());
  server.join();
  EXPECT_TRUE(a.Wait().ok());
  EXPECT_EQ(Publish("b").Wait().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(PublisherTest, CloseGivesUpInTime) {
  Open();
  Id a = Publish("a");
  EXPECT_EQ(ReasonOf(publisher_->Close(absl::Milliseconds(1))), Reason::kDeadlineExceeded);
  EXPECT_EQ(ReasonOf(a.Wait().status()), Reason::kDeadlineExceeded);
  EXPECT_TRUE(streams_.cancelled());
}

TEST_F(PublisherTest, DestructionTellsWhoeverWaits) {
  Open({.batch_messages = 1});
  Id a = Publish("a");
  publisher_.reset();
  EXPECT_EQ(a.Wait().status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(streams_.cancelled());
}

TEST_F(PublisherTest, ProducerIdNumbersTheBatches) {
  Open({.batch_messages = 1, .producer_id = "till-7"});
  Publish("a");
  const v1::PublishRequest first = streams_.NextRequest();
  EXPECT_EQ(first.producer_id(), "till-7");
  EXPECT_EQ(first.producer_epoch(),
            static_cast<uint64_t>(absl::ToUnixMicros(absl::FromUnixSeconds(1'700'000'000))));
  Publish("b");
  const v1::PublishRequest second = streams_.NextRequest();
  EXPECT_EQ(second.sequence(), first.sequence() + 1);
  streams_.End(absl::UnavailableError("gone"));
  Advance(absl::Milliseconds(100));
  const v1::PublishRequest again = streams_.NextRequest();
  EXPECT_EQ(again.producer_id(), "till-7");
  EXPECT_EQ(again.producer_epoch(), first.producer_epoch());
  EXPECT_EQ(again.sequence(), first.sequence());
}

}  // namespace
}  // namespace sluice::client
