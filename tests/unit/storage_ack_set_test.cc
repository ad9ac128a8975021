// Sets of acknowledged offsets against a plain list of bits.
#include "core/storage/ack_set.h"

#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

OffsetRange Range(uint64_t begin, uint64_t end) { return {Offset(begin), Offset(end)}; }

// What a set is to be, offset by offset.
class Plain {
 public:
  explicit Plain(uint64_t size) : acked_(size) { acked_[0] = true; }
  uint64_t Add(uint64_t begin, uint64_t end) {
    uint64_t added = 0;
    for (uint64_t i = begin; i < end; ++i) added += acked_[i] ? 0 : 1;
    for (uint64_t i = begin; i < end; ++i) acked_[i] = true;
    return added;
  }
  void ExpectIs(const AckSet& set) const {
    uint64_t floor = 0;
    while (floor < acked_.size() && acked_[floor]) ++floor;
    std::vector<OffsetRange> ranges;
    uint64_t above = 0;
    for (uint64_t i = floor; i < acked_.size(); ++i) {
      ASSERT_EQ(set.Contains(Offset(i)), acked_[i]) << i;
      if (!acked_[i]) continue;
      ++above;
      if (acked_[i - 1])
        ++ranges.back().end;
      else
        ranges.push_back(Range(i, i + 1));
    }
    EXPECT_EQ(set.floor(), Offset(floor));
    EXPECT_EQ(set.above_floor(), above);
    EXPECT_EQ(set.Ranges(), ranges);
    EXPECT_EQ(set.end(), ranges.empty() ? Offset(floor) : ranges.back().end);
  }

 private:
  std::vector<bool> acked_;
};

class AckSetTest : public testing::TestWithParam<uint64_t> {};

// Ranges of up to this many offsets, in no order: with 1 most blocks become dense, and all are full
// at the end.
TEST_P(AckSetTest, HoldsWhatWasAdded) {
  constexpr uint64_t kSize = 3 * DenseBlock::kSize + 100;
  std::minstd_rand random(7);
  AckSet set;
  Plain plain(kSize);
  for (int i = 0; i < 40'000; ++i) {
    const uint64_t begin = 1 + random() % (kSize - 1);
    const uint64_t end = std::min(kSize, begin + 1 + random() % GetParam());
    ASSERT_EQ(set.Add(Range(begin, end)), plain.Add(begin, end));
    if (i % 1000 == 0) plain.ExpectIs(set);
  }
  plain.ExpectIs(set);
  EXPECT_EQ(*AckSet::Decode(set.Encode()), set);
  // The rest, from the front: the floor goes through blocks of each kind.
  for (uint64_t i = 1; i < kSize; i += 50) {
    set.Add(Range(i, std::min(kSize, i + 50)));
    plain.Add(i, std::min(kSize, i + 50));
    if (i % 1000 == 1) plain.ExpectIs(set);
  }
  EXPECT_EQ(set, AckSet(Offset(kSize)));
}
INSTANTIATE_TEST_SUITE_P(UpTo, AckSetTest, testing::Values(1, 3, 60, 5000));

TEST(AckSetEdges, StretchesThatAreNotAcknowledgedEndWhereOneBegins) {
  AckSet set;
  for (uint64_t i = 5000; i < 6000; i += 2) set.Add(Range(i, i + 1));
  EXPECT_EQ(set.UnackedEnd(Offset(1), Offset(9999)), Offset(5000));
  EXPECT_EQ(set.UnackedEnd(Offset(1), Offset(4999)), Offset(4999));
  EXPECT_EQ(set.UnackedEnd(Offset(5001), Offset(9999)), Offset(5002));
  EXPECT_EQ(set.UnackedEnd(Offset(5999), Offset(9999)), Offset(9999));
  EXPECT_EQ(set.NextUnacked(Offset(5998)), Offset(5999));
}

// They are never given, but a state that was damaged may name them.
TEST(AckSetEdges, TheLastOffsetsOfAllAreTaken) {
  const uint64_t last = std::numeric_limits<uint64_t>::max();
  AckSet set;
  for (uint64_t i = 0; i < 2000; i += 2) set.Add(Range(last - 2001 + i, last - 2000 + i));
  EXPECT_EQ(set.above_floor(), 1000);
  set.Add(Range(last - 2001, last));
  EXPECT_EQ(set.Ranges(), std::vector<OffsetRange>{Range(last - 2001, last)});
  set.Add(Range(1, last));
  EXPECT_EQ(set.floor(), Offset(last));
}

}  // namespace
}  // namespace sluice
