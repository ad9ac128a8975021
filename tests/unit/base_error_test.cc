#include <set>

#include "core/base/error.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

Reason ReasonAt(int i) { return static_cast<Reason>(i); }

TEST(ErrorTest, EveryReasonComesBackOutOfItsStatus) {
  for (int i = 0; i < kReasonCount; ++i) {
    const absl::Status status = Error(ReasonAt(i), "what happened");
    EXPECT_EQ(ReasonOf(status), ReasonAt(i));
    EXPECT_EQ(status.code(), ReasonCode(ReasonAt(i)));
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(status.message(), "what happened");
  }
}

TEST(ErrorTest, NamesAreUniqueUpperSnakeCase) {
  std::set<std::string> names;
  for (int i = 0; i < kReasonCount; ++i) {
    const std::string name(ReasonName(ReasonAt(i)));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"), std::string::npos)
        << name;
    EXPECT_FALSE(name.empty());
  }
}

TEST(ErrorTest, BadInputIsNeverWorthARetry) {
  for (int i = static_cast<int>(Reason::kInvalidName); i <= static_cast<int>(Reason::kUnsupported);
       ++i) {
    EXPECT_EQ(ReasonCode(ReasonAt(i)), absl::StatusCode::kInvalidArgument)
        << ReasonName(ReasonAt(i));
  }
  EXPECT_EQ(ReasonCode(Reason::kTopicNotFound), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonCode(Reason::kTopicExists), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonCode(Reason::kNewerFormat), absl::StatusCode::kFailedPrecondition);
}

TEST(ErrorTest, MetadataKeepsOrderAndEveryByte) {
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  const ErrorMetadata metadata = {
      {"field", "messages[3]"}, {"", ""}, {"3:x", "12:34:"}, {"bytes", every_byte}};
  EXPECT_EQ(MetadataOf(Error(Reason::kInvalidName, "", metadata)), metadata);
}

TEST(ErrorTest, StatusesMadeElsewhereHaveNoReason) {
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), std::nullopt);
  EXPECT_EQ(ReasonOf(absl::OkStatus()), std::nullopt);
  EXPECT_TRUE(MetadataOf(absl::InternalError("x")).empty());
  EXPECT_EQ(RetryDelayOf(absl::InternalError("x")), std::nullopt);
  EXPECT_EQ(RetryDelayOf(Error(Reason::kStorageFull, "x")), std::nullopt);
}

TEST(ErrorTest, ARetryDelayIsKeptToTheMillisecond) {
  const absl::Status status =
      RetryableError(Reason::kStorageFull, "full", absl::Milliseconds(1500));
  EXPECT_EQ(RetryDelayOf(status), absl::Milliseconds(1500));
  EXPECT_EQ(ReasonOf(status), Reason::kStorageFull);
  EXPECT_EQ(RetryDelayOf(RetryableError(Reason::kStorageFull, "full", absl::ZeroDuration())),
            absl::ZeroDuration());
}

}  // namespace
}  // namespace sluice
