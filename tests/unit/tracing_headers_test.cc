// The file of headers for a collector: what is taken, and that what is wrong is told without what
// stands there.
#include "server/tracing/export_headers.h"

#include <string>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

class ExportHeadersTest : public ::testing::Test {
 protected:
  absl::StatusOr<ExportHeaders> Read(const std::string& text) {
    return ReadExportHeaders(folder_.Write("headers", text));
  }
  void ExpectWrong(const std::string& text, int line, const std::string& why) {
    const auto read = Read(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(ReasonOf(read.status()), Reason::kInvalidConfig);
    EXPECT_THAT(read.status().message(),
                HasSubstr(path_ + ":" + std::to_string(line) + ": " + why));
    EXPECT_THAT(read.status().message(), Not(HasSubstr("s3cret")));
  }

  const TempFolder folder_;
  const std::string path_ = folder_.path() + "/headers";
};

TEST_F(ExportHeadersTest, ALineIsAHeader) {
  EXPECT_THAT(
      *Read("# ours\n\nAuthorization: Bearer a:b = c\r\n  x-scope_orgid.2 :shop\n"),
      ElementsAre(Pair("authorization", "Bearer a:b = c"), Pair("x-scope_orgid.2", "shop")));
  EXPECT_THAT(*Read(""), IsEmpty());
  EXPECT_THAT(*Read("x: " + std::string(4000, 'a')),
              ElementsAre(Pair("x", std::string(4000, 'a'))));
}

TEST_F(ExportHeadersTest, WhatGrpcWouldNotSendIsRefusedByItsLine) {
  for (const std::string name : {"", "s3cret key", "grpc-timeout", "key-bin", "content-type", "te",
                                 ":authority", "s3cret\xc3\xa4"}) {
    ExpectWrong("a: b\n" + name + ": s3cret", 2, "must be name: value");
  }
  for (const std::string value : {"", "s3cret\x01", "s3cret\xc3\xa4", "s3cret\ts3cret"})
    ExpectWrong("a:" + value, 1, "the value must be");
  ExpectWrong("s3cret", 1, "must be name: value");
}

TEST_F(ExportHeadersTest, HasBounds) {
  ExpectWrong("x: " + std::string(4094, 'a'), 1, "a header has at most 4096 bytes");
  std::string many;
  for (int i = 0; i < 16; ++i) many += "x: y\n";
  EXPECT_EQ(Read(many)->size(), 16u);
  ExpectWrong(many + "x: y", 17, "there may be 16 headers");
}

TEST_F(ExportHeadersTest, AFileThatIsNotThereIsNamed) {
  const auto read = ReadExportHeaders(path_);
  EXPECT_EQ(ReasonOf(read.status()), Reason::kInvalidConfig);
  EXPECT_THAT(read.status().message(), HasSubstr(path_ + ": cannot be read"));
}

}  // namespace
}  // namespace sluice::server
