#include <atomic>
#include <memory>
#include <string>

#include "core/base/timer_queue.h"
#include "gtest/gtest.h"
#include "tests/support/answer.h"

namespace sluice {
namespace {

class TimerQueueTest : public testing::Test {
 protected:
  Instant In(int seconds) const { return clock_.Now() + absl::Seconds(seconds); }

  ManualClock clock_;
  TimerQueue timers_{clock_};
};

TEST_F(TimerQueueTest, RunsWhatIsDueInTheOrderOfTimeThenOfScheduling) {
  std::string ran;
  timers_.At(In(2), [&] { ran += 'c'; });
  timers_.At(In(1), [&] { ran += 'a'; });
  timers_.At(In(1), [&] { ran += 'b'; });
  timers_.At(In(3), [&] { ran += 'd'; });
  EXPECT_EQ(timers_.RunDue(), 0);
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(timers_.RunDue(), 3);
  EXPECT_EQ(ran, "abc");
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(timers_.RunDue(), 1);
  EXPECT_EQ(ran, "abcd");
}

TEST_F(TimerQueueTest, RunsAtItsInstantAndNotBefore) {
  int ran = 0;
  timers_.At(In(5), [&] { ++ran; });
  clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  timers_.RunDue();
  EXPECT_EQ(ran, 0);
  clock_.Advance(absl::Nanoseconds(1));
  timers_.RunDue();
  EXPECT_EQ(ran, 1);
}

TEST_F(TimerQueueTest, RunsWhatADueFunctionSchedulesForNow) {
  int ran = 0;
  timers_.At(clock_.Now(), [&] { timers_.At(clock_.Now(), [&] { ++ran; }); });
  EXPECT_EQ(timers_.RunDue(), 2);
  EXPECT_EQ(ran, 1);
}

TEST_F(TimerQueueTest, DoesNotRunWhatWasCancelled) {
  int ran = 0;
  const TimerQueue::TimerId cancelled = timers_.At(In(1), [&] { ran += 1; });
  const TimerQueue::TimerId kept = timers_.At(In(1), [&] { ran += 10; });
  EXPECT_TRUE(timers_.Cancel(cancelled));
  EXPECT_FALSE(timers_.Cancel(cancelled));
  clock_.Advance(absl::Seconds(1));
  timers_.RunDue();
  EXPECT_EQ(ran, 10);
  EXPECT_FALSE(timers_.Cancel(kept));
  EXPECT_FALSE(timers_.Cancel({}));
}

TEST_F(TimerQueueTest, AFunctionMayCancelAnother) {
  int ran = 0;
  TimerQueue::TimerId second;
  timers_.At(In(1), [&] { EXPECT_TRUE(timers_.Cancel(second)); });
  second = timers_.At(In(1), [&] { ++ran; });
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(timers_.RunDue(), 1);
  EXPECT_EQ(ran, 0);
}

TEST_F(TimerQueueTest, ACancelledFunctionMayCallBackWhenItIsDestroyed) {
  struct CallsBack {
    TimerQueue* timers;
    ~CallsBack() { timers->NextDue(); }
  };
  auto owned = std::shared_ptr<CallsBack>(new CallsBack{&timers_});
  const TimerQueue::TimerId id = timers_.At(In(1), [owned] {});
  owned = nullptr;
  EXPECT_TRUE(timers_.Cancel(id));
}

TEST_F(TimerQueueTest, SaysWhenTheNextIsDue) {
  EXPECT_EQ(timers_.NextDue(), Instant::Never());
  timers_.At(In(7), [] {});
  const TimerQueue::TimerId earlier = timers_.At(In(3), [] {});
  EXPECT_EQ(timers_.NextDue(), In(3));
  timers_.Cancel(earlier);
  EXPECT_EQ(timers_.NextDue(), In(7));
}

TEST_F(TimerQueueTest, IgnoresJumpsOfTheWallClock) {
  int ran = 0;
  timers_.At(In(10), [&] { ++ran; });
  clock_.JumpWall(absl::Hours(1));
  EXPECT_EQ(timers_.RunDue(), 0);
  clock_.JumpWall(-absl::Hours(2));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(timers_.RunDue(), 1);
}

TEST_F(TimerQueueTest, DropsEverythingWhenItStops) {
  int ran = 0;
  auto owned = std::make_shared<int>(1);
  timers_.At(In(1), [&ran, owned] { ++ran; });
  timers_.Stop();
  EXPECT_EQ(owned.use_count(), 1);
  timers_.At(In(1), [&ran, owned] { ++ran; });
  EXPECT_EQ(owned.use_count(), 1);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(timers_.RunDue(), 0);
  EXPECT_EQ(ran, 0);
}

TEST(TimerQueueThreadTest, RunsWhatIsDueByItself) {
  const SystemClock clock;
  TimerQueue timers(clock);
  timers.Start();
  Answer<int> first;
  Answer<int> second;
  timers.At(Instant::Never(), [] { ADD_FAILURE() << "never came"; });
  timers.At(clock.Now() + absl::Milliseconds(2), [&] { second.callback()(2); });
  timers.At(clock.Now(), [&] { first.callback()(1); });
  EXPECT_EQ(first.Wait(), 1);
  EXPECT_EQ(second.Wait(), 2);
  timers.Stop();
}

TEST(TimerQueueThreadTest, StopWaitsForWhatIsRunning) {
  const SystemClock clock;
  TimerQueue timers(clock);
  timers.Start();
  Answer<int> started;
  std::atomic<bool> ended = false;
  timers.At(clock.Now(), [&] {
    started.callback()(0);
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    ended = true;
  });
  started.Wait();
  timers.Stop();
  EXPECT_TRUE(ended);
}

TEST(TimerQueueThreadTest, AFunctionMayStopTheQueue) {
  const SystemClock clock;
  TimerQueue timers(clock);
  timers.Start();
  Answer<int> stopped;
  timers.At(clock.Now(), [&] {
    timers.Stop();
    stopped.callback()(0);
  });
  stopped.Wait();
}

TEST_F(TimerQueueTest, ATimeOfDayComesWhenTheWallClockSaysSo) {
  const int64_t now_us = absl::ToUnixMicros(clock_.WallNow());
  int ran = 0;
  timers_.AtWall(now_us + 3'600'000'000, [&] { ++ran; });
  EXPECT_EQ(timers_.NextDue(), clock_.Now() + absl::Hours(1));
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(timers_.RunDue(), 0);
  clock_.JumpWall(absl::Minutes(1));
  EXPECT_EQ(timers_.NextDue(), clock_.Now());
  EXPECT_EQ(timers_.RunDue(), 1);
  EXPECT_EQ(ran, 1);
}

TEST_F(TimerQueueTest, TheThreadNoticesAWallClockThatIsSetAhead) {
  Answer<bool> answer;
  timers_.Start();
  timers_.AtWall(absl::ToUnixMicros(clock_.WallNow() + absl::Hours(1)),
                 [&] { answer.callback()(true); });
  clock_.JumpWall(absl::Hours(2));
  EXPECT_TRUE(answer.Wait());
}

}  // namespace
}  // namespace sluice
