// The named behaviour: what the engine counts is what happened.
#include "gtest/gtest.h"
#include "tests/model/player.h"

namespace sluice::model {
namespace {

// Over restarts and crashes, with filters, retries and dead letters; and none of the counters stays
// at nothing.
TEST(Metrics, EqualTheTruthAfterARandomRun) {
  Truth truth;
  Truth counted;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    World world(WorldFor(seed, {}));
    Player player(seed, &world);
    while (player.steps() < 200) player.Step();
    world.Drain();
    ASSERT_TRUE(world.findings().empty())
        << "seed " << seed << ": " << world.findings().all()[0].what;
    truth += world.truth();
    counted += world.counted();
  }
  EXPECT_EQ(counted.published, truth.published);
  EXPECT_EQ(counted.delivered, truth.delivered);
  EXPECT_EQ(counted.redelivered, truth.redelivered);
  EXPECT_EQ(counted.acked, truth.acked);
  EXPECT_EQ(counted.nacked, truth.nacked);
  // A lease that ends in the same moment as an earlier one of its key may count as taken back.
  EXPECT_LE(counted.expired, truth.expired);
  EXPECT_GE(counted.expired, truth.expired - truth.expired_or_not);
  EXPECT_EQ(counted.dead_lettered, truth.dead_lettered);
  for (const uint64_t count : {truth.published, truth.delivered, truth.redelivered, truth.acked,
                               truth.nacked, truth.expired, truth.dead_lettered}) {
    EXPECT_GT(count, 0u);
  }
}

}  // namespace
}  // namespace sluice::model
