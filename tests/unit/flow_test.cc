// The parts that slow things down.
#include "core/flow/retry.h"
#include "core/flow/token_bucket.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

const Instant kStart(1'000'000'000);

TEST(TokenBucketTest, GivesTheBurstAtOnceAndThenTheRate) {
  TokenBucket bucket(10, 5);
  EXPECT_EQ(bucket.Take(5, kStart), kStart);
  EXPECT_EQ(bucket.Take(1, kStart), kStart + absl::Milliseconds(100));
  EXPECT_EQ(bucket.Take(2, kStart), kStart + absl::Milliseconds(300));
  EXPECT_EQ(bucket.Take(1, kStart + absl::Seconds(1)), kStart + absl::Seconds(1));
}

TEST(TokenBucketTest, SavesUpNoMoreThanTheBurst) {
  TokenBucket bucket(10, 5);
  const Instant later = kStart + absl::Hours(1);
  EXPECT_EQ(bucket.Take(6, later), later + absl::Milliseconds(100));
}

TEST(RetryTest, DoublesFromMinimumToMaximumWithJitter) {
  const RetryPolicy policy{absl::Seconds(10), absl::Seconds(60)};
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    EXPECT_EQ(RetryDelay(policy, 1, seed), absl::Seconds(10));
    const absl::Duration third = RetryDelay(policy, 3, seed);
    EXPECT_GE(third, absl::Seconds(32));
    EXPECT_LE(third, absl::Seconds(40));
    const absl::Duration hundredth = RetryDelay(policy, 100, seed);
    EXPECT_GE(hundredth, absl::Seconds(48));
    EXPECT_LE(hundredth, absl::Seconds(60));
  }
  EXPECT_NE(RetryDelay(policy, 3, 1), RetryDelay(policy, 3, 2));
  EXPECT_EQ(RetryDelay(policy, 3, 1), RetryDelay(policy, 3, 1));
}

TEST(RetryTest, AZeroMinimumStaysZero) {
  EXPECT_EQ(RetryDelay(RetryPolicy{absl::ZeroDuration(), absl::Seconds(60)}, 50, 1),
            absl::ZeroDuration());
}

TEST(RetryTest, WithoutAPolicyOnlyTheFirstGoesAtOnce) {
  EXPECT_EQ(RetryDelay(std::nullopt, 1, 7), absl::ZeroDuration());
  EXPECT_EQ(RetryDelay(std::nullopt, 2, 7), absl::Milliseconds(10));
  EXPECT_LE(RetryDelay(std::nullopt, 1000, 7), absl::Seconds(1));
  EXPECT_GE(RetryDelay(std::nullopt, 1000, 7), absl::Milliseconds(800));
}

}  // namespace
}  // namespace sluice
