// AppendAndAck: messages move to another topic and are acknowledged where they came from, both or
// neither.
#include "gmock/gmock.h"
#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

using testing::ElementsAre;

class AppendAndAckTest : public StoreTest {
 protected:
  absl::Status Move(std::vector<OffsetRange> ranges, const std::vector<std::string>& payloads) {
    Answer<absl::Status> moved;
    target_log_->AppendAndAck(MakeBatch(payloads), backend_->OpenCursor(source_), std::move(ranges),
                              moved.callback());
    return moved.Wait();
  }
  std::vector<std::string> Stored() {
    std::vector<std::string> payloads;
    for (const Ref<Batch>& batch : ReadAll(*backend_->OpenLog(target_), 1, 1000)) {
      for (uint32_t i = 0; i < batch->count(); ++i)
        payloads.emplace_back(MessageView(batch->message(i)).data());
    }
    return payloads;
  }

  const TopicId target_ = NewTopic();
  const SubscriptionId source_ =
      NewSubscription({.acked = AckSet(Offset(1)), .failures = {{Offset(3), 5}}});
  std::shared_ptr<TopicLog> target_log_ = backend_->OpenLog(target_);
};

TEST_P(AppendAndAckTest, DoesBothAndSurvivesAReopen) {
  ASSERT_EQ(Move({Range(3, 5)}, {"c", "d"}), absl::OkStatus());
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_THAT(Stored(), ElementsAre("c", "d"));
    const CursorState state = backend_->OpenCursor(source_)->state();
    EXPECT_FALSE(state.acked.Contains(Offset(2)));
    EXPECT_TRUE(state.acked.Contains(Offset(3)));
    EXPECT_TRUE(state.acked.Contains(Offset(4)));
    EXPECT_FALSE(state.acked.Contains(Offset(5)));
    EXPECT_TRUE(state.failures.empty());
    target_log_ = nullptr;
    Reopen();
  }
}

TEST_P(AppendAndAckTest, TakesSeveralRangesInOneStep) {
  ASSERT_EQ(Move({Range(2, 3), Range(5, 8), Range(9, 10)}, {"b", "e", "f", "g", "i"}),
            absl::OkStatus());
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_THAT(Stored(), ElementsAre("b", "e", "f", "g", "i"));
    const AckSet acked = backend_->OpenCursor(source_)->state().acked;
    EXPECT_EQ(acked.floor(), Offset(1));
    EXPECT_EQ(acked.above_floor(), 5);
    for (const uint64_t offset : {2, 5, 6, 7, 9}) EXPECT_TRUE(acked.Contains(Offset(offset)));
    target_log_ = nullptr;
    Reopen();
  }
}

TEST_P(AppendAndAckTest, StandsBetweenOrdinaryAppends) {
  ASSERT_EQ(Append(*target_log_, MakeBatch({"a"})), absl::OkStatus());
  ASSERT_EQ(Move({Range(1, 2)}, {"b"}), absl::OkStatus());
  ASSERT_EQ(Append(*target_log_, MakeBatch({"c"})), absl::OkStatus());
  target_log_ = nullptr;
  Reopen();
  EXPECT_THAT(Stored(), ElementsAre("a", "b", "c"));
}

TEST_P(AppendAndAckTest, AcknowledgesNothingWhenTheTopicIsGone) {
  ASSERT_EQ(RemoveTopic(target_), absl::OkStatus());
  EXPECT_FALSE(Move({Range(1, 2)}, {"a"}).ok());
  EXPECT_FALSE(backend_->OpenCursor(source_)->state().acked.Contains(Offset(1)));
}

INSTANTIATE_TEST_SUITE_P(Stores, AppendAndAckTest, testing::ValuesIn(AllStores()), StoreName);

}  // namespace
}  // namespace sluice
