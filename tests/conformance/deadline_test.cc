// A batch whose deadline has passed before the write is not stored.
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DeadlineTest : public StoreTest {
 protected:
  static Ref<Batch> BatchDue(const std::string& payload, Instant deadline) {
    Ref<Batch> batch = MakeBatch({payload});
    batch->set_deadline(deadline);
    return batch;
  }
  Ref<Batch> Late(const std::string& payload) {
    return BatchDue(payload, clock_.Now() + absl::Nanoseconds(-1));
  }
  Ref<Batch> InTime(const std::string& payload) {
    return BatchDue(payload, clock_.Now() + absl::Hours(1));
  }

  std::vector<std::string> Stored() {
    std::vector<std::string> payloads;
    for (const Ref<Batch>& batch : ReadAll(*backend_->OpenLog(topic_), 1, 1000)) {
      EXPECT_EQ(batch->first(), Offset(payloads.size() + 1));
      for (uint32_t i = 0; i < batch->count(); ++i)
        payloads.emplace_back(MessageView(batch->message(i)).data());
    }
    return payloads;
  }

  SystemClock clock_;
  const TopicId topic_ = NewTopic();
};
INSTANTIATE_TEST_SUITE_P(Stores, DeadlineTest, testing::ValuesIn(AllStores()), StoreName);

TEST_P(DeadlineTest, WhatIsLateIsRefusedAndTakesNoOffset) {
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic_);
  const absl::Status refused = Append(*log, Late("late"));
  EXPECT_EQ(ReasonOf(refused), Reason::kDeadlineExceeded);
  EXPECT_EQ(refused.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(log->extent().next, Offset(1));
  EXPECT_EQ(Append(*log, InTime("in time")), absl::OkStatus());
  EXPECT_EQ(Append(*log, MakeBatch({"patient"})), absl::OkStatus());
  log = nullptr;
  Reopen();
  EXPECT_THAT(Stored(), ElementsAre("in time", "patient"));
}

// They may share a commit: those in time close up.
TEST_P(DeadlineTest, TheLateOnesOfManyLeaveNoHole) {
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic_);
  std::vector<Answer<absl::Status>> answers(60);
  std::vector<std::string> expected;
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string payload = std::to_string(i);
    const bool late = i % 3 == 1;
    if (!late) expected.push_back(payload);
    log->Append(late ? Late(payload) : InTime(payload), answers[i].callback());
  }
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i].Wait().ok(), i % 3 != 1) << i;
  EXPECT_EQ(Stored(), expected);
  log = nullptr;
  Reopen();
  EXPECT_EQ(Stored(), expected);
}

TEST_P(DeadlineTest, WhatIsLateAcknowledgesNothing) {
  const SubscriptionId source = NewSubscription(StateAt(1));
  Answer<absl::Status> moved;
  backend_->OpenLog(topic_)->AppendAndAck(Late("late"), backend_->OpenCursor(source), {Range(1, 2)},
                                          moved.callback());
  EXPECT_EQ(ReasonOf(moved.Wait()), Reason::kDeadlineExceeded);
  EXPECT_FALSE(backend_->OpenCursor(source)->state().acked.Contains(Offset(1)));
  EXPECT_THAT(Stored(), IsEmpty());
}

}  // namespace
}  // namespace sluice
