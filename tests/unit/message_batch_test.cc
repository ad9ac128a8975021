// A batch of which some messages break a limit.
#include "core/base/error.h"
#include "core/message/batch.h"
#include "core/message/limits.h"
#include "core/message/wire.h"
#include "gmock/gmock.h"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string Good(std::string_view payload) {
  std::string wire;
  AppendBytesField(&wire, kDataField, payload);
  return wire;
}

TEST(BatchBuilderTest, AllOrNothingNamesTheFirstThatIsWrong) {
  const std::string good = Good("x");
  BatchBuilder builder;
  EXPECT_TRUE(builder.Add(good).ok());
  const absl::Status refused = builder.Add("");
  EXPECT_EQ(ReasonOf(refused), Reason::kEmptyMessage);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("messages[1]"));
}

TEST(BatchBuilderTest, PartialLeavesOutWhatIsWrongAndSaysWhichAndWhy) {
  const std::string one = Good("one");
  const std::string two = Good("two");
  BatchBuilder builder;
  builder.Clear(BatchBuilder::Mode::kPartial);
  for (std::string_view wire : {std::string_view(""), std::string_view(one),
                                std::string_view("\xff"), std::string_view(two)}) {
    EXPECT_TRUE(builder.Add(wire).ok());
  }
  ASSERT_EQ(builder.refusals().size(), 2u);
  EXPECT_EQ(builder.refusals()[0].index, 0u);
  EXPECT_EQ(ReasonOf(builder.refusals()[0].why), Reason::kEmptyMessage);
  EXPECT_EQ(builder.refusals()[1].index, 2u);
  EXPECT_EQ(ReasonOf(builder.refusals()[1].why), Reason::kMalformedRequest);
  EXPECT_THAT(std::string(builder.refusals()[1].why.message()), HasSubstr("messages[2]"));
  auto batch = builder.Build();
  ASSERT_TRUE(batch.ok());
  ASSERT_EQ((*batch)->count(), 2u);
  EXPECT_EQ((*batch)->message(0), one);
  EXPECT_EQ((*batch)->message(1), two);
  EXPECT_EQ(builder.refusals().size(), 2u) << "until Clear";
  builder.Clear();
  EXPECT_TRUE(builder.refusals().empty());
  EXPECT_FALSE(builder.Add("").ok()) << "all or nothing again";
}

TEST(BatchBuilderTest, PartialCountsWhatIsWrongToo) {
  const std::string good = Good("x");
  BatchBuilder builder;
  builder.Clear(BatchBuilder::Mode::kPartial);
  for (size_t i = 0; i < kMaxMessagesPerBatch; ++i)
    ASSERT_TRUE(builder.Add(i % 2 == 0 ? good : "").ok());
  EXPECT_EQ(ReasonOf(builder.Add(good)), Reason::kTooManyMessages);
}

TEST(BatchTest, ADeadlineIsComparedWithTheClockOnlyWhenThereIsOne) {
  ManualClock clock;
  Ref<Batch> batch = Batch::Compose({"x"}, true);
  EXPECT_TRUE(batch->CheckDeadline(clock).ok());
  batch->set_deadline(clock.Now() + absl::Seconds(1));
  EXPECT_TRUE(batch->CheckDeadline(clock).ok());
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(ReasonOf(batch->CheckDeadline(clock)), Reason::kDeadlineExceeded);
}

}  // namespace
}  // namespace sluice
