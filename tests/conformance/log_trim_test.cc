#include "core/base/error.h"
#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

// A log of ten batches of ten messages: offsets 1 to 100, batch i published at second 100 * i.
class LogTrimTest : public StoreTest {
 protected:
  LogTrimTest() : topic_(NewTopic()), log_(backend_->OpenLog(topic_)) {
    for (int i = 1; i <= 10; ++i)
      EXPECT_EQ(Append(*log_, MakeBatchOf(10, 10, 100 * i)), absl::OkStatus());
  }

  void ReopenLog() {
    log_ = nullptr;
    Reopen();
    log_ = backend_->OpenLog(topic_);
  }

  const TopicId topic_;
  std::shared_ptr<TopicLog> log_;
};
INSTANTIATE_TEST_SUITE_P(Stores, LogTrimTest, testing::ValuesIn(AllStores()), StoreName);

TEST_P(LogTrimTest, DropsTheBatchesBelow) {
  const uint64_t bytes = log_->extent().bytes;
  log_->Trim(Offset(41));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(log_->extent().first, Offset(41));
    EXPECT_EQ(log_->extent().next, Offset(101));
    EXPECT_EQ(log_->extent().bytes, bytes / 10 * 6);
    const auto read = Read(*log_, 1, kEverything);
    ASSERT_EQ(read.size(), 6);
    EXPECT_EQ(read[0]->first(), Offset(41));
    ReopenLog();
  }
}

TEST_P(LogTrimTest, KeepsTheBatchThatHoldsTheOffset) {
  log_->Trim(Offset(45));
  for (int round = 0; round < 2; ++round) {
    EXPECT_GE(log_->extent().first, Offset(41));
    EXPECT_LE(log_->extent().first, Offset(45));
    const auto read = Read(*log_, 1, kEverything);
    ASSERT_EQ(read.size(), 6);
    EXPECT_EQ(read[0]->first(), Offset(41));
    ReopenLog();
  }
}

TEST_P(LogTrimTest, DoesNotGoBack) {
  log_->Trim(Offset(51));
  log_->Trim(Offset(51));
  log_->Trim(Offset(21));
  log_->Trim(Offset(0));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(log_->extent().first, Offset(51));
    EXPECT_EQ(Read(*log_, 1, kEverything).size(), 5);
    ReopenLog();
  }
}

TEST_P(LogTrimTest, EndsAtTheNextOffset) {
  log_->Trim(Offset(1'000'000));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(log_->extent().first, Offset(101));
    EXPECT_EQ(log_->extent().next, Offset(101));
    EXPECT_EQ(log_->extent().bytes, 0);
    EXPECT_TRUE(Read(*log_, 1, kEverything).empty());
    ReopenLog();
  }
  Ref<Batch> batch = MakeBatchOf(1, 10);
  ASSERT_EQ(Append(*log_, batch), absl::OkStatus());
  EXPECT_EQ(batch->first(), Offset(101));
  EXPECT_EQ(Read(*log_, 1, kEverything).size(), 1);
}

TEST_P(LogTrimTest, LeavesOnlyLaterTimesToFind) {
  log_->Trim(Offset(51));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(OffsetAt(*log_, absl::FromUnixSeconds(100)), Offset(51));
    EXPECT_EQ(OffsetAt(*log_, absl::FromUnixSeconds(700)), Offset(61));
    ReopenLog();
  }
}

TEST_P(LogTrimTest, BatchesThatWereReadStayWhole) {
  const auto read = Read(*log_, 1, kEverything);
  const std::string record(read[0]->record());
  log_->Trim(Offset(101));
  EXPECT_EQ(read[0]->record(), record);
}

TEST_P(LogTrimTest, ARemovedTopicLeavesNothingToItsSuccessor) {
  log_ = nullptr;
  ASSERT_EQ(RemoveTopic(topic_), absl::OkStatus());
  const TopicId successor = NewTopic();
  EXPECT_NE(successor, topic_);
  std::shared_ptr<TopicLog> log = backend_->OpenLog(successor);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(log->extent().first, Offset(1));
    EXPECT_EQ(log->extent().next, Offset(1));
    EXPECT_TRUE(Read(*log, 1, kEverything).empty());
    log = nullptr;
    Reopen();
    log = backend_->OpenLog(successor);
  }
  Ref<Batch> batch = MakeBatchOf(1, 10);
  ASSERT_EQ(Append(*log, batch), absl::OkStatus());
  EXPECT_EQ(batch->first(), Offset(1));
}

TEST_P(LogTrimTest, AnAppendToARemovedTopicIsAnsweredOnce) {
  ASSERT_EQ(RemoveTopic(topic_), absl::OkStatus());
  Answer<absl::Status> answer;
  log_->Append(MakeBatch({"late"}), answer.callback());
  EXPECT_EQ(ReasonOf(answer.Wait()), Reason::kTopicDeleted);
  log_ = nullptr;
  Reopen();
  EXPECT_EQ(answer.calls(), 1);
  EXPECT_TRUE(catalogue().Load()->topics.empty());
}

}  // namespace
}  // namespace sluice
