// What the conformance suite cannot ask of every store: whose thread runs the results of appends.
#include <algorithm>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "core/storage/memory/memory_backend.h"
#include "gtest/gtest.h"
#include "tests/support/batches.h"

namespace sluice {
namespace {

class ResultThreadTest : public testing::Test {
 protected:
  std::shared_ptr<TopicLog> NewLog() {
    Catalogue& catalogue = backend_.catalogue();
    const TopicId id{catalogue.NewId()};
    catalogue.PutTopic({id, "topic"},
                       [](const absl::Status& status) { EXPECT_EQ(status, absl::OkStatus()); });
    return backend_.OpenLog(id);
  }

  MemoryBackend backend_{std::make_shared<MemoryStore>(), nullptr, AppendResults::kOwnThread};
};

TEST_F(ResultThreadTest, WhoAppendsDoesNotRunTheResult) {
  const auto log = NewLog();
  const std::thread::id appending = std::this_thread::get_id();
  std::vector<Offset> ends;
  for (int i = 0; i < 100; ++i) {
    Ref<Batch> batch = MakeBatch({"a"});
    log->Append(batch, [&, batch](const absl::Status& status) {
      EXPECT_EQ(status, absl::OkStatus());
      EXPECT_NE(std::this_thread::get_id(), appending);
      ends.push_back(batch->end());
    });
  }
  EXPECT_EQ(backend_.Close(), absl::OkStatus());
  ASSERT_EQ(ends.size(), 100);
  EXPECT_TRUE(std::ranges::is_sorted(ends));
}

TEST_F(ResultThreadTest, ATopicThatIsAlwaysBusyDoesNotKeepOthersWaiting) {
  const auto busy = NewLog();
  const auto other = NewLog();
  absl::Notification other_appended;
  absl::Notification other_answered;
  constexpr int kMostRounds = 100'000;
  int rounds = 0;
  std::function<void()> append_again = [&] {
    busy->Append(MakeBatch({"a"}), [&](const absl::Status&) {
      other_appended.WaitForNotification();
      if (!other_answered.HasBeenNotified() && ++rounds < kMostRounds) append_again();
    });
  };
  append_again();
  other->Append(MakeBatch({"b"}), [&](const absl::Status&) { other_answered.Notify(); });
  other_appended.Notify();
  other_answered.WaitForNotification();
  EXPECT_EQ(backend_.Close(), absl::OkStatus());
  EXPECT_LT(rounds, kMostRounds);
}

}  // namespace
}  // namespace sluice
