// Limits on publishing, on a clock that stands still.
#include "core/flow/admission.h"

#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class AdmissionTest : public testing::Test {
 protected:
  void Limit(AdmissionOptions options, size_t budget = 0) {
    ledger_ = std::make_unique<MemoryLedger>(budget);
    admission_ = std::make_unique<Admission>(options, *ledger_, clock_, timers_, metrics_);
  }

  struct Call {
    std::string name = "a";
    uint64_t publisher = 1;
    std::string topic = "t";
    std::string project = "p";
    uint32_t messages = 1;
    size_t bytes = 1;
    absl::Duration deadline = absl::InfiniteDuration();
    std::string identity = {};
  };
  // Notes the name in let_in_ or refused_.
  void Admit(const Call& call) {
    const std::string topic = call.project + "/" + call.topic;
    const Instant deadline =
        call.deadline == absl::InfiniteDuration() ? Instant::Never() : clock_.Now() + call.deadline;
    admission_->Admit(
        {call.project, topic, call.publisher, call.identity, call.messages, call.bytes, deadline},
        [this, name = call.name](absl::StatusOr<Admission::Grant> grant) {
          if (!grant.ok()) {
            refused_.push_back(name);
            last_error_ = grant.status();
            return;
          }
          let_in_.push_back(name);
          grants_.push_back(*grant);
        });
  }
  // The oldest that was let in is answered.
  void Answer() {
    const Admission::Grant grant = grants_.front();
    grants_.pop_front();
    admission_->Release(grant);
  }
  void Advance(absl::Duration d) {
    clock_.Advance(d);
    timers_.RunDue();
  }
  std::vector<std::string> LetIn() { return std::exchange(let_in_, {}); }
  std::vector<std::string> Refused() { return std::exchange(refused_, {}); }

  static AdmissionLimits Batches(int64_t batches, absl::Duration wait = absl::Seconds(10)) {
    AdmissionLimits limits;
    limits.batches = batches;
    limits.wait = wait;
    return limits;
  }
  static AdmissionLimits Rate(double messages, double bytes,
                              absl::Duration wait = absl::Seconds(10)) {
    AdmissionLimits limits;
    limits.messages_per_second = messages;
    limits.bytes_per_second = bytes;
    limits.wait = wait;
    return limits;
  }

  ManualClock clock_;
  TimerQueue timers_{clock_};
  AdmissionMetrics metrics_;
  std::unique_ptr<MemoryLedger> ledger_;
  std::unique_ptr<Admission> admission_;
  std::vector<std::string> let_in_;
  std::vector<std::string> refused_;
  std::deque<Admission::Grant> grants_;
  absl::Status last_error_;
};

TEST_F(AdmissionTest, WithoutLimitsEverythingGoesInAtOnceAndIsCounted) {
  Limit({});
  for (int i = 0; i < 1000; ++i) Admit({.bytes = 10});
  EXPECT_EQ(LetIn().size(), 1000u);
  EXPECT_EQ(ledger_->used(MemoryPart::kPublishes), 10'000u);
  while (!grants_.empty()) Answer();
  EXPECT_EQ(ledger_->used(MemoryPart::kPublishes), 0u);
  EXPECT_EQ(metrics_.admitted.value(), 1000u);
}

TEST_F(AdmissionTest, WhoIsOverTheLimitWaitsUntilAnotherIsAnswered) {
  Limit({.server = {}, .project = {}, .topic = Batches(2)});
  for (const char* name : {"a", "b", "c", "d"}) Admit({.name = name});
  EXPECT_THAT(LetIn(), ElementsAre("a", "b"));
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("c"));
  Answer();
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("d"));
  EXPECT_THAT(Refused(), IsEmpty());
}

TEST_F(AdmissionTest, EachScopeHasItsOwnRoom) {
  Limit({.server = Batches(4), .project = Batches(3), .topic = Batches(2)});
  for (int i = 0; i < 3; ++i) Admit({.name = "t1", .topic = "t1"});
  EXPECT_THAT(LetIn(), ElementsAre("t1", "t1"));
  for (int i = 0; i < 2; ++i) Admit({.name = "t2", .topic = "t2"});
  EXPECT_THAT(LetIn(), ElementsAre("t2")) << "the project is full";
  for (int i = 0; i < 2; ++i) Admit({.name = "q", .project = "q"});
  EXPECT_THAT(LetIn(), ElementsAre("q")) << "the server is full";
}

TEST_F(AdmissionTest, ThePolicyToRefuseRefusesAtOnceWithAReasonAndADelay) {
  Limit({.server = {}, .project = Batches(1, absl::ZeroDuration()), .topic = {}});
  Admit({});
  Admit({.name = "b"});
  EXPECT_THAT(Refused(), ElementsAre("b"));
  EXPECT_EQ(ReasonOf(last_error_), Reason::kQuotaExceeded);
  EXPECT_EQ(last_error_.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(MetadataOf(last_error_),
              ElementsAre(std::pair<std::string, std::string>("scope", "project"),
                          std::pair<std::string, std::string>("limit", "batches")));
  EXPECT_EQ(RetryDelayOf(last_error_), absl::Milliseconds(100));
  EXPECT_EQ(metrics_.refused[1][0].value(), 1u);
  EXPECT_EQ(ledger_->used(MemoryPart::kPublishes), 1u);
}

TEST_F(AdmissionTest, WhoHasWaitedAsLongAsThePolicySaysIsRefused) {
  Limit({.server = Batches(1, absl::Seconds(2)), .project = {}, .topic = {}});
  Admit({});
  Admit({.name = "b"});
  EXPECT_EQ(metrics_.waiting[0][0].value(), 1);
  Advance(absl::Milliseconds(1999));
  EXPECT_THAT(Refused(), IsEmpty());
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(Refused(), ElementsAre("b"));
  EXPECT_EQ(ReasonOf(last_error_), Reason::kQuotaExceeded);
  EXPECT_EQ(metrics_.waiting[0][0].value(), 0);
  EXPECT_EQ(metrics_.waited[0][0].value(), 1u);
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("a")) << "who was refused is not let in later";
  EXPECT_EQ(ledger_->used(), 0u);
  EXPECT_EQ(timers_.NextDue(), Instant::Never());
}

TEST_F(AdmissionTest, ADeadlineEndsAWaitAndIsToldAsSuch) {
  Limit({.server = Batches(1), .project = {}, .topic = {}});
  Admit({});
  Admit({.name = "b", .deadline = absl::Seconds(1)});
  Advance(absl::Seconds(1));
  EXPECT_THAT(Refused(), ElementsAre("b"));
  EXPECT_EQ(ReasonOf(last_error_), Reason::kDeadlineExceeded);
}

TEST_F(AdmissionTest, ADeadlineThatHasPassedIsNotLetInWithoutLimitsEither) {
  Limit({});
  Admit({.name = "late", .deadline = absl::ZeroDuration()});
  EXPECT_THAT(Refused(), ElementsAre("late"));
  EXPECT_EQ(ReasonOf(last_error_), Reason::kDeadlineExceeded);
  EXPECT_EQ(ledger_->used(MemoryPart::kPublishes), 0u);
}

// The timer may be late: room must not go to one whose time is over.
TEST_F(AdmissionTest, RoomIsNotGivenToOneWhoseDeadlineHasPassed) {
  Limit({.server = Batches(1), .project = {}, .topic = {}});
  Admit({});
  Admit({.name = "late", .deadline = absl::Seconds(1)});
  Admit({.name = "c", .publisher = 2});
  clock_.Advance(absl::Seconds(1));
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("a", "c"));
  EXPECT_THAT(Refused(), ElementsAre("late"));
}

TEST_F(AdmissionTest, BytesInFlightAreLimitedButALargeBatchGetsThrough) {
  AdmissionLimits limits;
  limits.bytes = 100;
  limits.wait = absl::Seconds(10);
  Limit({.server = limits, .project = {}, .topic = {}});
  Admit({.name = "large", .bytes = 1000});
  Admit({.name = "b", .bytes = 60});
  Admit({.name = "c", .bytes = 60});
  Admit({.name = "d", .bytes = 60});
  EXPECT_THAT(LetIn(), ElementsAre("large"));
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("b", "c")) << "the second goes past the limit by its own size";
}

TEST_F(AdmissionTest, ARateLetsABurstOfASecondInAndThenSoManyASecond) {
  Limit({.server = {}, .project = {}, .topic = Rate(100, 0)});
  for (const char* name : {"a", "b", "c", "d"}) Admit({.name = name, .messages = 60});
  EXPECT_THAT(LetIn(), ElementsAre("a", "b")) << "20 messages are owed now";
  Advance(absl::Milliseconds(199));
  EXPECT_THAT(LetIn(), IsEmpty());
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(LetIn(), ElementsAre("c"));
  Advance(absl::Milliseconds(600));
  EXPECT_THAT(LetIn(), ElementsAre("d"));
}

TEST_F(AdmissionTest, ARateInBytesRefusesUntilItIsCovered) {
  Limit({.server = Rate(0, 1000, absl::ZeroDuration()), .project = {}, .topic = {}});
  Admit({.bytes = 3000});
  Admit({.name = "b"});
  EXPECT_THAT(Refused(), ElementsAre("b"));
  EXPECT_EQ(RetryDelayOf(last_error_), absl::Seconds(2));
  Advance(absl::Seconds(2));
  Admit({.name = "c"});
  EXPECT_THAT(LetIn(), ElementsAre("a", "c"));
}

// An arrival just when a rate is covered again, before its timer ran, must not pass those who wait.
TEST_F(AdmissionTest, NobodyPassesThoseWhoWait) {
  Limit({.server = Rate(10, 0), .project = {}, .topic = {}});
  Admit({.messages = 20});
  Admit({.name = "waits", .messages = 10});
  clock_.Advance(absl::Seconds(1));
  Admit({.name = "arrives", .publisher = 2, .topic = "other"});
  EXPECT_THAT(LetIn(), ElementsAre("a", "waits"));
  Advance(absl::Seconds(1));
  EXPECT_THAT(LetIn(), ElementsAre("arrives"));
}

TEST_F(AdmissionTest, PublishersTakeTurnsHoweverMuchOneSends) {
  Limit({.server = {}, .project = {}, .topic = Batches(1)});
  Admit({.name = "first"});
  for (int i = 0; i < 50; ++i) Admit({.name = "flood", .publisher = 1});
  Admit({.name = "b", .publisher = 2});
  Admit({.name = "b", .publisher = 2});
  Admit({.name = "c", .publisher = 3});
  for (int i = 0; i < 7; ++i) Answer();
  EXPECT_THAT(LetIn(), ElementsAre("first", "flood", "b", "c", "flood", "b", "flood", "flood"));
}

TEST_F(AdmissionTest, TopicsAndProjectsTakeTurnsHoweverManyPublishersOneHas) {
  Limit({.server = Batches(1), .project = {}, .topic = {}});
  Admit({.name = "first"});
  for (uint64_t i = 0; i < 20; ++i) Admit({.name = "p/flood", .publisher = i, .topic = "flood"});
  Admit({.name = "p/calm", .publisher = 100, .topic = "calm"});
  Admit({.name = "q", .publisher = 101, .project = "q"});
  for (int i = 0; i < 5; ++i) Answer();
  EXPECT_THAT(LetIn(), ElementsAre("first", "p/flood", "q", "p/calm", "p/flood", "p/flood"));
}

TEST_F(AdmissionTest, AFullTopicHoldsNobodyElseBack) {
  Limit({.server = Batches(3), .project = {}, .topic = Batches(1)});
  for (int i = 0; i < 10; ++i) Admit({.name = "full", .topic = "full"});
  Admit({.name = "other", .topic = "other"});
  EXPECT_THAT(LetIn(), ElementsAre("full", "other"));
}

TEST_F(AdmissionTest, OneThatFloodsLeavesRoomToWaitForOthers) {
  AdmissionOptions options{.server = Batches(1), .project = {}, .topic = {}};
  options.max_waiting = 100;
  Limit(options);
  for (int i = 0; i < 1000; ++i) Admit({.name = "flood", .publisher = 1});
  EXPECT_EQ(Refused().size(), 949u) << "one in, 50 wait: as many as are left free";
  EXPECT_EQ(metrics_.refused_queue_full.value(), 949u);
  Admit({.name = "calm", .publisher = 2, .topic = "calm", .project = "calm"});
  EXPECT_THAT(Refused(), IsEmpty());
  Answer();
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("flood", "flood", "calm"));
}

TEST_F(AdmissionTest, TheWaitingRoomIsBoundedInBytesToo) {
  AdmissionOptions options{.server = Batches(1), .project = {}, .topic = {}};
  options.max_waiting_bytes = 1000;
  Limit(options);
  Admit({});
  Admit({.name = "b", .bytes = 501, .deadline = absl::Seconds(5)});
  Admit({.name = "c", .publisher = 2, .topic = "u", .project = "q", .bytes = 500});
  EXPECT_THAT(Refused(), ElementsAre("c"));
}

// The one that is answered inside the callback makes room for the next: that must not overtake, nor
// recurse.
TEST_F(AdmissionTest, AnswersInsideTheCallbackKeepTheOrder) {
  Limit({.server = {}, .project = {}, .topic = Batches(1)});
  std::vector<int> order;
  int depth = 0;
  int deepest = 0;
  Admit({});
  for (int i = 0; i < 100; ++i) {
    admission_->Admit({"p", "p/t", 1, "", 1, 1}, [&, i](absl::StatusOr<Admission::Grant> grant) {
      deepest = std::max(deepest, ++depth);
      order.push_back(i);
      // One more of the same publisher, while this one has not come back.
      if (i == 0) {
        admission_->Admit({"p", "p/t", 1, "", 1, 1}, [&](absl::StatusOr<Admission::Grant> last) {
          order.push_back(100);
          admission_->Release(*last);
        });
      }
      admission_->Release(*grant);
      --depth;
    });
  }
  Answer();
  ASSERT_EQ(order.size(), 101u);
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  EXPECT_EQ(deepest, 1);
  EXPECT_EQ(ledger_->used(), 0u);
}

// What is let in after a wait is told without the lock: a later batch of its publisher must not be
// published meanwhile.
TEST_F(AdmissionTest, ABatchDoesNotPassOneOfItsPublisherThatIsBeingTold) {
  Limit({.server = {}, .project = {}, .topic = Batches(1)});
  Admit({});
  admission_->Admit({"p", "p/t", 1, "", 1, 1}, [this](absl::StatusOr<Admission::Grant> grant) {
    admission_->Release(*grant);
    Admit({.name = "later"});
    let_in_.push_back("earlier");
  });
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("a", "earlier", "later"));
}

TEST_F(AdmissionTest, TheMemoryBudgetRefusesWithItsOwnReason) {
  Limit({}, 100);
  Admit({.bytes = 80});
  Admit({.name = "b", .bytes = 30});
  EXPECT_THAT(Refused(), ElementsAre("b"));
  EXPECT_EQ(ReasonOf(last_error_), Reason::kMemoryBudget);
  EXPECT_TRUE(RetryDelayOf(last_error_).has_value());
  Answer();
  Admit({.name = "c", .bytes = 100});
  EXPECT_THAT(LetIn(), ElementsAre("a", "c"));
}

TEST_F(AdmissionTest, CloseRefusesThoseWhoWaitAndThoseWhoWould) {
  Limit({.server = Batches(1), .project = {}, .topic = {}});
  Admit({});
  Admit({.name = "b"});
  admission_->Close(Error(Reason::kDraining, "over"));
  EXPECT_THAT(Refused(), ElementsAre("b"));
  EXPECT_EQ(ReasonOf(last_error_), Reason::kDraining);
  Admit({.name = "c"});
  EXPECT_THAT(Refused(), ElementsAre("c"));
  Answer();
  EXPECT_EQ(ledger_->used(), 0u);
}

// What is remembered of idle topics goes from time to time, but not what one owes.
TEST_F(AdmissionTest, ADebtOutlivesTenThousandOtherTopics) {
  Limit({.server = {}, .project = {}, .topic = Rate(10, 0, absl::ZeroDuration())});
  Admit({.name = "debtor", .topic = "debtor", .messages = 1000});
  Answer();
  for (int i = 0; i < 10'000; ++i) {
    Admit({.topic = std::to_string(i)});
    Answer();
    clock_.Advance(absl::Milliseconds(1));
  }
  EXPECT_THAT(Refused(), IsEmpty());
  Admit({.name = "again", .topic = "debtor"});
  EXPECT_THAT(Refused(), ElementsAre("again"));
}

TEST_F(AdmissionTest, LimitsThatAreWidenedLetInWhoWaits) {
  Limit({.server = {}, .project = {}, .topic = Batches(1)});
  for (const char* name : {"a", "b", "c", "d"}) Admit({.name = name});
  EXPECT_THAT(LetIn(), ElementsAre("a"));
  admission_->SetLimits({.server = {}, .project = {}, .topic = Batches(3)});
  EXPECT_THAT(LetIn(), ElementsAre("b", "c"));
  admission_->SetLimits({});
  EXPECT_THAT(LetIn(), ElementsAre("d"));
  Admit({.name = "e"});
  EXPECT_THAT(LetIn(), ElementsAre("e"));
  while (!grants_.empty()) Answer();
  EXPECT_EQ(ledger_->used(MemoryPart::kPublishes), 0u);
}

TEST_F(AdmissionTest, LimitsThatAreNarrowedHoldBackUntilWhatIsUnderWayIsAnswered) {
  Limit({.server = Batches(3), .project = {}, .topic = {}});
  for (const char* name : {"a", "b", "c"}) Admit({.name = name});
  admission_->SetLimits({.server = Batches(1), .project = {}, .topic = {}});
  Admit({.name = "d"});
  LetIn();
  Answer();
  Answer();
  EXPECT_THAT(LetIn(), IsEmpty());
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("d"));
}

TEST_F(AdmissionTest, LimitsThatCameLaterHoldForTopicsThatWereThere) {
  Limit({});
  Admit({.name = "before"});
  admission_->SetLimits({.server = {}, .project = {}, .topic = Batches(1)});
  EXPECT_TRUE(admission_->limited());
  Admit({.name = "a"});
  Admit({.name = "b"});
  EXPECT_THAT(LetIn(), ElementsAre("before", "a")) << "what came before them does not count";
  Answer();
  EXPECT_THAT(LetIn(), IsEmpty());
  Answer();
  EXPECT_THAT(LetIn(), ElementsAre("b"));
}

// A topic that owed for a long time is not looked after only when that is over.
TEST_F(AdmissionTest, AHigherRateCountsAtOnceAlsoForWhoWaitsAlready) {
  Limit({.server = {}, .project = {}, .topic = Rate(1, 0, absl::Minutes(20))});
  Admit({.messages = 1000});
  for (const char* name : {"b", "c", "d"}) Admit({.name = name, .messages = 10});
  LetIn();
  Advance(absl::Seconds(5));
  EXPECT_THAT(LetIn(), IsEmpty());
  admission_->SetLimits({.server = {}, .project = {}, .topic = Rate(10, 0, absl::Minutes(20))});
  EXPECT_THAT(LetIn(), ElementsAre("b", "c"))
      << "a burst of one second, and nothing is owed after it";
  Advance(absl::Milliseconds(1001));
  EXPECT_THAT(LetIn(), ElementsAre("d"));
  Advance(absl::Seconds(1000));
  EXPECT_THAT(Refused(), IsEmpty());
}

TEST_F(AdmissionTest, TheSameLimitsAgainChangeNothing) {
  const AdmissionOptions limits = {
      .server = {}, .project = {}, .topic = Rate(10, 0, absl::ZeroDuration())};
  Limit(limits);
  Admit({.messages = 20});
  admission_->SetLimits(limits);
  Admit({.name = "b"});
  EXPECT_THAT(Refused(), ElementsAre("b")) << "no new burst";
}

class QuotaTest : public AdmissionTest {
 protected:
  void SetUp() override {
    Limit({});
    Give(10);
  }
  // Everyone called limited, and the project "small", may publish so many messages a second.
  void Give(double messages) {
    admission_->SetQuotas({[messages](std::string_view project) {
                             return Quota{project == "small" ? messages : 0, 0};
                           },
                           [messages](std::string_view who) {
                             return Quota{who == "limited" ? messages : 0, 0};
                           }});
  }
};

TEST_F(QuotaTest, AnIdentityWaitsForItsOwnWhereverItPublishes) {
  Admit({.name = "a", .publisher = 1, .messages = 15, .identity = "limited"});
  Admit({.name = "b", .publisher = 2, .topic = "other", .project = "q", .identity = "limited"});
  Admit({.name = "c", .publisher = 1, .identity = "limited"});
  Admit({.name = "d", .publisher = 3, .messages = 1000, .identity = "free"});
  Admit({.name = "e", .publisher = 1, .identity = "free"});
  EXPECT_THAT(LetIn(), ElementsAre("a", "d", "e"))
      << "who has no quota is not held back, not even on the same connection";
  Advance(absl::Milliseconds(499));
  EXPECT_THAT(LetIn(), IsEmpty());
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(LetIn(), ElementsAre("b"));
  Advance(absl::Milliseconds(100));
  EXPECT_THAT(LetIn(), ElementsAre("c"));
  EXPECT_EQ(metrics_.waited[3][2].value(), 2u);
  EXPECT_EQ(metrics_.waiting[3][2].value(), 0);
}

TEST_F(QuotaTest, NobodyWaitsInVain) {
  Admit({.name = "a", .messages = 25, .identity = "limited"});
  Admit({.name = "b", .identity = "limited"});
  EXPECT_THAT(Refused(), ElementsAre("b"));
  EXPECT_EQ(ReasonOf(last_error_), Reason::kQuotaExceeded);
  EXPECT_EQ(last_error_.message(), "the identity's limit on messages_per_second is reached");
  EXPECT_EQ(RetryDelayOf(last_error_), absl::Milliseconds(1500));
  Advance(absl::Milliseconds(600));
  Admit({.name = "c", .identity = "limited"});
  EXPECT_THAT(Refused(), IsEmpty());
  Advance(absl::Milliseconds(900));
  EXPECT_THAT(LetIn(), ElementsAre("a", "c"));
}

TEST_F(QuotaTest, BatchesOfAPublisherKeepTheirOrder) {
  Admit({.name = "a", .messages = 11, .identity = "limited"});
  for (const char* name : {"b", "c", "d"}) Admit({.name = name, .identity = "limited"});
  Advance(absl::Milliseconds(100));
  // There is room again, and others come first.
  Admit({.name = "e", .identity = "limited"});
  for (int i = 0; i < 10; ++i) Advance(absl::Milliseconds(100));
  EXPECT_THAT(LetIn(), ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(QuotaTest, AProjectHasTheLowerOfItsQuotaAndItsLimit) {
  Limit({.server = {}, .project = Rate(4, 0, absl::Milliseconds(300)), .topic = {}});
  Give(8);
  Admit({.name = "a", .project = "large", .messages = 5});
  Admit({.name = "b", .project = "large"});
  Admit({.name = "c", .project = "small", .messages = 5});
  EXPECT_THAT(LetIn(), ElementsAre("a", "c"));
  Advance(absl::Milliseconds(250));
  EXPECT_THAT(LetIn(), ElementsAre("b"));
  Give(2);
  Admit({.name = "d", .project = "small", .messages = 3});
  Admit({.name = "e", .project = "small"});
  EXPECT_THAT(LetIn(), ElementsAre("d")) << "with a full burst";
  EXPECT_THAT(Refused(), ElementsAre("e")) << "half a second is longer than the limit's wait";
}

TEST_F(QuotaTest, OtherQuotasLetInWhoeverMay) {
  Admit({.name = "a", .messages = 15, .identity = "limited"});
  Admit({.name = "b", .publisher = 1, .identity = "limited"});
  Admit({.name = "c", .publisher = 2, .topic = "u", .identity = "limited"});
  EXPECT_THAT(LetIn(), ElementsAre("a"));
  admission_->SetQuotas({});
  EXPECT_THAT(LetIn(), testing::UnorderedElementsAre("b", "c"));
  Advance(absl::Seconds(2));
  EXPECT_THAT(Refused(), IsEmpty());
}

TEST_F(QuotaTest, IdentitiesThatAreDoneAreForgotten) {
  for (int i = 0; i < 100'000; ++i) Admit({.identity = "somebody " + std::to_string(i)});
  EXPECT_EQ(LetIn().size(), 100'000u);
  Admit({.name = "a", .messages = 19, .identity = "limited"});
  Admit({.name = "b", .identity = "limited"});
  for (int i = 0; i < 5'000; ++i) Admit({.identity = "somebody else " + std::to_string(i)});
  LetIn();
  Advance(absl::Milliseconds(900));
  EXPECT_THAT(LetIn(), ElementsAre("b")) << "who waits is not";
}

}  // namespace
}  // namespace sluice
