// What a log remembers of those who number their batches.
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

class ProducerTest : public StoreTest {
 protected:
  ProducerTest() { OpenLog(); }

  void OpenLog() { log_ = backend_->OpenLog(topic_); }
  void ReopenAll() {
    log_ = nullptr;
    Reopen();
    OpenLog();
  }
  Offset Publish(const ProducerTag& tag, int messages = 1) {
    Ref<Batch> batch = MakeBatchOf(messages, 10);
    batch->set_producer(tag);
    EXPECT_EQ(Append(*log_, batch), absl::OkStatus());
    return batch->first();
  }
  std::optional<OffsetRange> Find(const ProducerTag& tag) {
    auto found = log_->FindProduced(tag);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : std::nullopt;
  }

  const TopicId topic_ = NewTopic();
  std::shared_ptr<TopicLog> log_;
};

TEST_P(ProducerTest, FindsWhereABatchWasStoredAlsoAfterAReopen) {
  ASSERT_EQ(Append(*log_, MakeBatch({"unnumbered"})), absl::OkStatus());
  EXPECT_EQ(Find({"till", 1, 1}), std::nullopt);
  Publish({"till", 1, 1}, 3);
  Publish({"desk", 1, 1});
  Publish({"till", 1, 5});
  for (int pass = 0; pass < 3; ++pass) {
    EXPECT_EQ(Find({"till", 1, 1}), (OffsetRange{Offset(2), Offset(5)})) << pass;
    EXPECT_EQ(Find({"desk", 1, 1}), (OffsetRange{Offset(5), Offset(6)})) << pass;
    EXPECT_EQ(Find({"till", 1, 5}), (OffsetRange{Offset(6), Offset(7)})) << pass;
    EXPECT_EQ(Find({"till", 1, 4}), std::nullopt) << "gaps may be filled later";
    ReopenAll();
  }
}

TEST_P(ProducerTest, MessagesStayReadableAndTrimmingForgetsNoProducer) {
  Publish({"till", 1, 1}, 2);
  Publish({"till", 1, 2});
  log_->Trim(Offset(3));
  ReopenAll();
  EXPECT_EQ(ReadAll(*log_, 1, 1000).size(), 1u);
  EXPECT_EQ(Find({"till", 1, 1}), (OffsetRange{Offset(1), Offset(3)}));
}

TEST_P(ProducerTest, ALaterEpochFencesAndBeginsAnew) {
  Publish({"till", 1, 1});
  EXPECT_EQ(Find({"till", 2, 1}), std::nullopt);
  Publish({"till", 2, 1});
  ReopenAll();
  EXPECT_EQ(ReasonOf(log_->FindProduced({"till", 1, 1}).status()), Reason::kProducerFenced);
  EXPECT_EQ(Find({"till", 2, 1}), (OffsetRange{Offset(2), Offset(3)}));
}

TEST_P(ProducerTest, OneBatchTooManyForgetsTheOldest) {
  for (uint64_t sequence = 1; sequence <= ProducerWindows::kMaxBatches; ++sequence)
    Publish({"till", 0, sequence});
  EXPECT_TRUE(Find({"till", 0, 1}).has_value());
  Publish({"till", 0, ProducerWindows::kMaxBatches + 1});
  ReopenAll();
  EXPECT_EQ(ReasonOf(log_->FindProduced({"till", 0, 1}).status()), Reason::kSequenceTooOld);
  EXPECT_TRUE(Find({"till", 0, 2}).has_value());
}

TEST_P(ProducerTest, OneProducerTooManyForgetsTheOneThatPublishedLeastRecently) {
  for (size_t i = 0; i < ProducerWindows::kMaxProducers; ++i)
    Publish({"producer-" + std::to_string(i), 0, 1});
  Publish({"producer-0", 0, 2});
  Publish({"one-more", 0, 1});
  EXPECT_TRUE(Find({"producer-0", 0, 1}).has_value());
  EXPECT_EQ(Find({"producer-1", 0, 1}), std::nullopt);
  EXPECT_TRUE(Find({"producer-2", 0, 1}).has_value());
  EXPECT_TRUE(Find({"one-more", 0, 1}).has_value());
}

INSTANTIATE_TEST_SUITE_P(Stores, ProducerTest, testing::ValuesIn(AllStores()), StoreName);

}  // namespace
}  // namespace sluice
