#include <tuple>

#include "core/message/limits.h"
#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

class LogTest : public StoreTest {
 protected:
  LogTest() : topic_(NewTopic()), log_(backend_->OpenLog(topic_)) {}

  // The log after the store was closed and opened again.
  void ReopenLog() {
    log_ = nullptr;
    Reopen();
    log_ = backend_->OpenLog(topic_);
  }

  const TopicId topic_;
  std::shared_ptr<TopicLog> log_;
};
INSTANTIATE_TEST_SUITE_P(Stores, LogTest, testing::ValuesIn(AllStores()), StoreName);

TEST_P(LogTest, StartsEmpty) {
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(log_->extent().first, Offset(1));
    EXPECT_EQ(log_->extent().next, Offset(1));
    EXPECT_EQ(log_->extent().bytes, 0);
    EXPECT_TRUE(Read(*log_, 1, kEverything).empty());
    EXPECT_EQ(OffsetAt(*log_, absl::InfinitePast()), Offset(1));
    EXPECT_EQ(OffsetAt(*log_, absl::InfiniteFuture()), Offset(1));
    ReopenLog();
  }
}

TEST_P(LogTest, GivesConsecutiveOffsets) {
  uint64_t next = 1;
  for (const int count : {1, 3, 100, 1, 1000, 2}) {
    Ref<Batch> batch = MakeBatchOf(count, 10);
    ASSERT_EQ(Append(*log_, batch), absl::OkStatus());
    EXPECT_EQ(batch->first(), Offset(next));
    next += static_cast<uint64_t>(count);
    EXPECT_EQ(log_->extent().next, Offset(next));
  }
  ReopenLog();
  EXPECT_EQ(log_->extent().next, Offset(next));
  Ref<Batch> batch = MakeBatchOf(1, 10);
  ASSERT_EQ(Append(*log_, batch), absl::OkStatus());
  EXPECT_EQ(batch->first(), Offset(next));
}

TEST_P(LogTest, CountsTheBytesOfItsRecords) {
  uint64_t bytes = 0;
  for (int i = 0; i < 10; ++i) {
    Ref<Batch> batch = MakeBatchOf(i + 1, 100);
    bytes += batch->record().size();
    ASSERT_EQ(Append(*log_, batch), absl::OkStatus());
  }
  EXPECT_EQ(log_->extent().bytes, bytes);
  ReopenLog();
  EXPECT_EQ(log_->extent().bytes, bytes);
}

TEST_P(LogTest, KeepsEveryByteOfARecord) {
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  BatchBuilder builder;
  OutgoingMessage message;
  message.data = every_byte;
  message.attributes = {{"a", "1"}, {"b", ""}};
  message.ordering_key = "key";
  message.priority = 9;
  ASSERT_TRUE(builder.Add(message).ok());
  ASSERT_TRUE(builder.Add(message).ok());
  Ref<Batch> batch = *builder.Build();
  batch->set_publish_time(absl::FromUnixMicros(1'712'345'678'901'234));
  const std::string record(batch->record());
  ASSERT_EQ(Append(*log_, batch), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    const auto read = Read(*log_, 1, kEverything);
    ASSERT_EQ(read.size(), 1);
    EXPECT_EQ(read[0]->record(), record);
    EXPECT_EQ(read[0]->first(), Offset(1));
    EXPECT_EQ(read[0]->publish_time_us(), 1'712'345'678'901'234);
    ReopenLog();
  }
}

TEST_P(LogTest, KeepsTheLargestBatches) {
  const size_t most = kMaxRequestBytes - 16;  // what is left of the limit beside tag and length
  const std::vector<Ref<Batch>> batches = {MakeBatchOf(1000, 1), MakeBatchOf(1, most),
                                           MakeBatchOf(1000, 9'900)};
  for (const Ref<Batch>& batch : batches) ASSERT_EQ(Append(*log_, batch), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    const auto read = ReadAll(*log_, 1, 1);
    ASSERT_EQ(read.size(), batches.size());
    for (size_t i = 0; i < read.size(); ++i)
      EXPECT_TRUE(read[i]->record() == batches[i]->record()) << i;
    EXPECT_EQ(log_->extent().next, Offset(2002));
    ReopenLog();
  }
}

TEST_P(LogTest, ReadsFromTheBatchThatHoldsTheOffset) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Append(*log_, MakeBatchOf(10, 10)), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    for (const auto& [from, first, batches] : std::vector<std::tuple<uint64_t, uint64_t, size_t>>{
             {0, 1, 3}, {1, 1, 3}, {5, 1, 3}, {10, 1, 3}, {11, 11, 2}, {12, 11, 2}, {30, 21, 1}}) {
      const auto read = Read(*log_, from, kEverything);
      ASSERT_EQ(read.size(), batches) << from;
      EXPECT_EQ(read[0]->first(), Offset(first)) << from;
      EXPECT_EQ(read.back()->end(), Offset(31)) << from;
    }
    ReopenLog();
  }
}

TEST_P(LogTest, ReadsNothingAtTheEndAndBeyond) {
  ASSERT_EQ(Append(*log_, MakeBatchOf(10, 10)), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    for (const uint64_t from : {uint64_t{11}, uint64_t{12}, uint64_t{1} << 40, UINT64_MAX}) {
      EXPECT_TRUE(Read(*log_, from, kEverything).empty()) << from;
    }
    ReopenLog();
  }
}

TEST_P(LogTest, ReadsNoMoreBytesThanAskedForBeyondTheFirstBatch) {
  size_t record = 0;
  for (int i = 0; i < 20; ++i) {
    Ref<Batch> batch = MakeBatchOf(10, 100);
    record = batch->record().size();
    ASSERT_EQ(Append(*log_, batch), absl::OkStatus());
  }
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Read(*log_, 1, 0).size(), 1);
    EXPECT_EQ(Read(*log_, 15, record - 1).size(), 1);
    for (const size_t limit : {record, 2 * record + 1, 7 * record, kEverything}) {
      const auto read = Read(*log_, 1, limit);
      ASSERT_FALSE(read.empty());
      EXPECT_LE((read.size() - 1) * record, limit);
    }
    EXPECT_EQ(ReadAll(*log_, 1, record).size(), 20);
    ReopenLog();
  }
}

TEST_P(LogTest, AReadSeesWhatWasAppendedBefore) {
  for (uint64_t i = 1; i <= 100; ++i) {
    ASSERT_EQ(Append(*log_, MakeBatchOf(1, 10)), absl::OkStatus());
    const auto read = Read(*log_, i, 0);
    ASSERT_EQ(read.size(), 1);
    EXPECT_EQ(read[0]->first(), Offset(i));
  }
}

TEST_P(LogTest, FindsTheFirstOffsetAtOrAfterATime) {
  const auto at = [](int64_t seconds) { return absl::FromUnixSeconds(seconds); };
  for (const int64_t seconds : {100, 200, 200, 300}) {
    ASSERT_EQ(Append(*log_, MakeBatchOf(10, 10, seconds)), absl::OkStatus());
  }
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(OffsetAt(*log_, absl::InfinitePast()), Offset(1));
    EXPECT_EQ(OffsetAt(*log_, at(0)), Offset(1));
    EXPECT_EQ(OffsetAt(*log_, at(100)), Offset(1));
    EXPECT_EQ(OffsetAt(*log_, at(100) + absl::Microseconds(1)), Offset(11));
    EXPECT_EQ(OffsetAt(*log_, at(200)), Offset(11));
    EXPECT_EQ(OffsetAt(*log_, at(200) + absl::Microseconds(1)), Offset(31));
    EXPECT_EQ(OffsetAt(*log_, at(300)), Offset(31));
    EXPECT_EQ(OffsetAt(*log_, at(300) + absl::Microseconds(1)), Offset(41));
    EXPECT_EQ(OffsetAt(*log_, absl::InfiniteFuture()), Offset(41));
    ReopenLog();
  }
}

TEST_P(LogTest, TopicsDoNotSeeEachOther) {
  const TopicId other_id = NewTopic();
  std::shared_ptr<TopicLog> other = backend_->OpenLog(other_id);
  ASSERT_EQ(Append(*log_, MakeBatch({"mine"})), absl::OkStatus());
  ASSERT_EQ(Append(*other, MakeBatch({"theirs", "also theirs"})), absl::OkStatus());
  ASSERT_EQ(Append(*log_, MakeBatch({"mine again"})), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(ReadAll(*log_, 1, 0).size(), 2);
    const auto read = ReadAll(*other, 1, 0);
    ASSERT_EQ(read.size(), 1);
    EXPECT_EQ(read[0]->count(), 2);
    EXPECT_EQ(other->extent().next, Offset(3));
    other = nullptr;
    ReopenLog();
    other = backend_->OpenLog(other_id);
  }
}

}  // namespace
}  // namespace sluice
