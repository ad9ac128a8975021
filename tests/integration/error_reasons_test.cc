// The reasons stand in three places, for the server, for clients and for people: core/base/error.h,
// protos/sluice/v1/error.proto and docs/api.md. They agree one by one.
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "sluice/v1/error.pb.h"

namespace sluice::server {
namespace {

// The hundreds of a reason's number.
int CategoryOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return 0;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return 1;
    case absl::StatusCode::kFailedPrecondition:
      return 2;
    case absl::StatusCode::kResourceExhausted:
      return 3;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 4;
    case absl::StatusCode::kDataLoss:
      return 5;
    case absl::StatusCode::kInternal:
      return 6;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return 7;
    default:
      return -1;
  }
}

TEST(ErrorReasonsTest, EveryReasonHasItsValueInTheEnumAndInItsCategory) {
  for (int i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    v1::ErrorReason value{};
    ASSERT_TRUE(v1::ErrorReason_Parse(fmt::format("ERROR_REASON_{}", ReasonName(reason)), &value))
        << ReasonName(reason);
    EXPECT_EQ(value / 100, CategoryOf(ReasonCode(reason))) << ReasonName(reason);
  }
  EXPECT_EQ(v1::ErrorReason_descriptor()->value_count(), kReasonCount + 1) << "all and UNSPECIFIED";
}

TEST(ErrorReasonsTest, TheDocumentHasEveryReasonWithItsCode) {
  std::ifstream in(SLUICE_SOURCES "/docs/api.md");
  std::stringstream page;
  page << in.rdbuf();
  for (int i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    EXPECT_THAT(page.str(),
                testing::HasSubstr(fmt::format("\n| {} | {} | ", ReasonName(reason),
                                               absl::StatusCodeToString(ReasonCode(reason)))));
  }
}

}  // namespace
}  // namespace sluice::server
