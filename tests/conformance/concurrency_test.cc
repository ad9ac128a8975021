#include <atomic>
#include <thread>

#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

constexpr int kThreads = 8;

class ConcurrencyTest : public StoreTest {
 protected:
  template <class Fn>
  static void OnThreads(Fn fn) {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) threads.emplace_back([&fn, t] { fn(t); });
    for (std::thread& thread : threads) thread.join();
  }
};
INSTANTIATE_TEST_SUITE_P(Stores, ConcurrencyTest, testing::ValuesIn(AllStores()), StoreName);

TEST_P(ConcurrencyTest, AppendersGetConsecutiveOffsetsAndResultsInTheirOrder) {
  constexpr int kAppends = 100;
  const TopicId topic = NewTopic();
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  Mutex mu;
  std::vector<OffsetRange> results;  // in the order in which they came
  OnThreads([&](int t) {
    std::vector<Answer<absl::Status>> answers(kAppends);
    for (int i = 0; i < kAppends; ++i) {
      Ref<Batch> batch = MakeBatchOf(t + 1, 10);
      log->Append(batch, [&, batch, answer = answers[static_cast<size_t>(i)].callback()](
                             const absl::Status& status) {
        {
          MutexLock lock(mu);
          results.push_back({batch->first(), batch->end()});
        }
        answer(status);
      });
    }
    for (auto& answer : answers) EXPECT_EQ(answer.Wait(), absl::OkStatus());
  });
  ASSERT_EQ(results.size(), kThreads * kAppends);
  Offset next(1);
  for (const OffsetRange& range : results) {
    ASSERT_EQ(range.begin, next);
    next = range.end;
  }
  EXPECT_EQ(log->extent().next, next);
  log = nullptr;
  Reopen();
  const auto read = ReadAll(*backend_->OpenLog(topic), 1, 10'000);
  ASSERT_EQ(read.size(), results.size());
  for (size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i]->first(), results[i].begin);
}

TEST_P(ConcurrencyTest, ACallbackMayAppend) {
  const TopicId topic = NewTopic();
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  Answer<absl::Status> last;
  std::atomic<int> left = 50;
  std::function<void(absl::Status)> next = [&](const absl::Status& status) {
    if (!status.ok() || --left == 0) return last.callback()(status);
    log->Append(MakeBatch({"again"}), next);
  };
  log->Append(MakeBatch({"first"}), next);
  EXPECT_EQ(last.Wait(), absl::OkStatus());
  EXPECT_EQ(log->extent().next, Offset(51));
}

TEST_P(ConcurrencyTest, ACallbackMayAskTheStore) {
  const TopicId topic = NewTopic();
  const SubscriptionId subscription = NewSubscription(StateAt(1));
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  std::shared_ptr<Cursor> cursor = backend_->OpenCursor(subscription);
  Answer<absl::Status> acked;
  Ref<Batch> batch = MakeBatch({"one"});
  log->Append(batch, [&](const absl::Status& status) {
    EXPECT_EQ(status, absl::OkStatus());
    EXPECT_EQ(log->extent().next, Offset(2));
    EXPECT_EQ(cursor->state().acked.floor(), Offset(1));
    log->Trim(batch->end());
    // Last: the test goes on with its answer.
    cursor->Ack(std::vector{OffsetRange{batch->first(), batch->end()}}, acked.callback());
  });
  EXPECT_EQ(acked.Wait(), absl::OkStatus());
  EXPECT_EQ(cursor->state().acked.floor(), Offset(2));
  EXPECT_EQ(log->extent().first, Offset(2));
}

TEST_P(ConcurrencyTest, ReadersSeeARowWithoutGapsWhileItGrowsAndIsTrimmed) {
  const TopicId topic = NewTopic();
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  OnThreads([&](int t) {
    for (int i = 0; i < 60; ++i) {
      if (t % 2 == 0) {
        EXPECT_EQ(Append(*log, MakeBatchOf(5, 20, 1000, static_cast<char>('a' + t))),
                  absl::OkStatus());
        if (i % 10 == 9) log->Trim(log->extent().next - 20);
        continue;
      }
      const auto read = Read(*log, log->extent().first.value(), 2000);
      for (size_t b = 1; b < read.size(); ++b) EXPECT_EQ(read[b]->first(), read[b - 1]->end());
      for (const Ref<Batch>& batch : read)
        EXPECT_EQ(Batch::Check(batch->record()), absl::OkStatus());
      EXPECT_GE(OffsetAt(*log, absl::FromUnixSeconds(2000)), Offset(1));
    }
  });
  EXPECT_EQ(log->extent().next, Offset(1 + kThreads / 2 * 60 * 5));
}

TEST_P(ConcurrencyTest, EverythingAtOnce) {
  const TopicId topic = NewTopic();
  const SubscriptionId subscription = NewSubscription(StateAt(1));
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  std::shared_ptr<Cursor> cursor = backend_->OpenCursor(subscription);
  OnThreads([&](int t) {
    const TopicId own = NewTopic();
    for (int i = 0; i < 25; ++i) {
      const uint64_t mine = static_cast<uint64_t>(t * 25 + i) + 1;
      EXPECT_EQ(Append(*log, MakeBatchOf(2, 50)), absl::OkStatus());
      EXPECT_EQ(Append(*backend_->OpenLog(own), MakeBatchOf(1, 50)), absl::OkStatus());
      cursor->Failed(Range(mine, mine + 1), 2);
      EXPECT_EQ(Ack(*cursor, {Range(mine, mine + 1)}), absl::OkStatus());
      EXPECT_GT(cursor->state().acked.floor() + cursor->state().acked.above_floor(), Offset(1));
      const TopicId brief = NewTopic();
      EXPECT_EQ(Append(*backend_->OpenLog(brief), MakeBatchOf(1, 50)), absl::OkStatus());
      EXPECT_EQ(RemoveTopic(brief), absl::OkStatus());
      EXPECT_EQ(PutSubscription(subscription, nullptr, "changed"), absl::OkStatus());
      EXPECT_GT(backend_->stats().disk_bytes + backend_->stats().memory_bytes, 0);
    }
  });
  log = nullptr;
  cursor = nullptr;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(catalogue().Load()->topics.size(), 1 + kThreads);
    EXPECT_EQ(backend_->OpenLog(topic)->extent().next, Offset(1 + 2 * 25 * kThreads));
    EXPECT_EQ(Read(*backend_->OpenLog(topic), 1, kEverything).size(), 25 * kThreads);
    const CursorState state = backend_->OpenCursor(subscription)->state();
    EXPECT_EQ(state.acked, AckSet(Offset(1 + 25 * kThreads)));
    EXPECT_TRUE(state.failures.empty());
    Reopen();
  }
}

TEST_P(ConcurrencyTest, CloseAnswersWhatIsWaiting) {
  const TopicId topic = NewTopic();
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  std::vector<Answer<absl::Status>> answers(200);
  for (auto& answer : answers) log->Append(MakeBatchOf(10, 100), answer.callback());
  Close();
  for (auto& answer : answers) {
    EXPECT_EQ(answer.calls(), 1);
    EXPECT_EQ(answer.Wait(), absl::OkStatus());
  }
  log = nullptr;
  Open();
  EXPECT_EQ(backend_->OpenLog(topic)->extent().next, Offset(2001));
}

TEST_P(ConcurrencyTest, WhatComesAfterCloseIsRefusedOrNotAnswered) {
  const TopicId topic = NewTopic();
  const SubscriptionId subscription = NewSubscription(StateAt(1));
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  std::shared_ptr<Cursor> cursor = backend_->OpenCursor(subscription);
  ASSERT_EQ(Append(*log, MakeBatch({"before"})), absl::OkStatus());
  ASSERT_EQ(backend_->Close(), absl::OkStatus());
  Answer<absl::Status> answers[4];
  log->Append(MakeBatch({"after"}), answers[0].callback());
  cursor->Ack(std::vector{Range(1, 2)}, answers[1].callback());
  cursor->Seek(StateAt(9), answers[2].callback());
  catalogue().PutTopic({TopicId(12345), "late"}, answers[3].callback());
  log->Trim(Offset(2));
  cursor->Failed(Range(1, 2), 2);
  for (auto& answer : answers) {
    EXPECT_LE(answer.calls(), 1);
    EXPECT_TRUE(answer.calls() == 0 || !answer.Wait().ok());
  }
  log = nullptr;
  cursor = nullptr;
  backend_ = nullptr;
  Open();
  EXPECT_EQ(backend_->OpenLog(topic)->extent().first, Offset(1));
  EXPECT_EQ(backend_->OpenLog(topic)->extent().next, Offset(2));
  EXPECT_TRUE(backend_->OpenCursor(subscription)->state() == StateAt(1));
  EXPECT_EQ(catalogue().Load()->topics.size(), 1);
}

TEST_P(ConcurrencyTest, NoAnswerComesAfterClose) {
  const TopicId topic = NewTopic();
  std::shared_ptr<TopicLog> log = backend_->OpenLog(topic);
  std::atomic<bool> closed = false;
  std::atomic<int> late = 0;
  std::atomic<int> under_way = 0;
  std::thread closer([&] {
    while (under_way < 50) std::this_thread::yield();
    EXPECT_EQ(backend_->Close(), absl::OkStatus());
    closed = true;
  });
  OnThreads([&](int) {
    for (int i = 0; i < 200 && !closed; ++i) {
      ++under_way;
      log->Append(MakeBatch({"x"}), [&](const absl::Status& status) {
        if (status.ok() && closed) ++late;
      });
    }
  });
  closer.join();
  EXPECT_EQ(late, 0);
  log = nullptr;
  backend_ = nullptr;
}

}  // namespace
}  // namespace sluice
