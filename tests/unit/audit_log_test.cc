// The audit log: what a line says, where it goes, and what happens when it cannot be written.
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "server/security/audit/audit_log.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using testing::SizeIs;

class AuditLogTest : public testing::Test {
 protected:
  void Open() {
    auto opened = AuditLog::Open(options_, clock_, metrics_);
    ASSERT_TRUE(opened.ok()) << std::string(opened.status().message());
    log_ = *std::move(opened);
  }
  static std::vector<std::string> LinesOf(const std::string& path) {
    std::ifstream in(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  bool Write(const std::string& id) {
    return log_->Write({.event = "call", .decision = "allowed", .request_id = id}).ok();
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/audit.log";
  ManualClock clock_;
  SecurityMetrics metrics_;
  AuditOptions options_{.file = path_};
  std::unique_ptr<AuditLog> log_;
};

TEST_F(AuditLogTest, ALineSaysWhoDidWhatFromWhere) {
  Open();
  ASSERT_TRUE(log_->Write({.event = "call",
                           .decision = "denied",
                           .identity = "jwt:al\"ice\xff",
                           .peer = "ipv4:10.0.0.7:1",
                           .rpc = "sluice.v1.Admin/DeleteTopic",
                           .resource = "projects/a/topics/t\n{}",
                           .reason = "PERMISSION_DENIED",
                           .request_id = "r1"})
                  .ok());
  const auto lines = LinesOf(path_);
  ASSERT_THAT(lines, SizeIs(1)) << "whatever a client says stays in its line";
  const auto line = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(line["time"], "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(line["decision"], "denied");
  EXPECT_EQ(line["resource"], "projects/a/topics/t\n{}");
  EXPECT_EQ(line["request_id"], "r1");
  EXPECT_EQ(metrics_.audit_records.value(), 1);
  struct stat found = {};
  ASSERT_EQ(::stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07, 0) << "not for everyone to read";
}

TEST_F(AuditLogTest, RotatesAndKeepsAFew) {
  options_.max_bytes = 250;
  options_.files = 2;
  Open();
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(Write(std::to_string(i)));
  size_t lines = 0;
  for (const char* suffix : {"", ".1", ".2"}) {
    struct stat found = {};
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &found), 0) << suffix;
    EXPECT_LE(found.st_size, 250);
    lines += LinesOf(path_ + suffix).size();
  }
  EXPECT_LT(lines, 12u);
  EXPECT_THAT(LinesOf(path_).back(), testing::HasSubstr(R"("request_id":"11")"));
  EXPECT_TRUE(LinesOf(path_ + ".3").empty());
}

TEST_F(AuditLogTest, GoesOnInANewFileWhenTheOldOneWasMovedAway) {
  Open();
  ASSERT_TRUE(Write("1"));
  ASSERT_EQ(std::rename(path_.c_str(), (path_ + ".old").c_str()), 0);
  ASSERT_TRUE(Write("2"));
  log_->Reopen();
  ASSERT_TRUE(Write("3"));
  EXPECT_THAT(LinesOf(path_ + ".old"), SizeIs(2));
  EXPECT_THAT(LinesOf(path_), SizeIs(1));
}

TEST_F(AuditLogTest, AFullDiskIsToldAndGetsWellAgain) {
  // Every write to it fails with "no space left".
  options_.file = "/dev/full";
  Open();
  const absl::Status status = log_->Write({.event = "call", .decision = "allowed"});
  EXPECT_EQ(ReasonOf(status), Reason::kAuditUnavailable);
  EXPECT_TRUE(RetryDelayOf(status));
  EXPECT_FALSE(Write("again"));
  EXPECT_EQ(metrics_.audit_failures.value(), 2);
  EXPECT_EQ(metrics_.audit_records.value(), 0);
}

TEST_F(AuditLogTest, WritesAgainOnceTheFolderIsThere) {
  options_.file = folder_.path() + "/sub/audit.log";
  ::mkdir((folder_.path() + "/sub").c_str(), 0755);
  Open();
  ASSERT_EQ(std::rename((folder_.path() + "/sub").c_str(), (folder_.path() + "/gone").c_str()), 0);
  log_->Reopen();
  EXPECT_FALSE(Write("1"));
  ASSERT_EQ(std::rename((folder_.path() + "/gone").c_str(), (folder_.path() + "/sub").c_str()), 0);
  EXPECT_TRUE(Write("2"));
  EXPECT_THAT(LinesOf(options_.file), SizeIs(1));
}

TEST_F(AuditLogTest, AFileThatCannotBeOpenedEndsTheStart) {
  options_.file = folder_.path() + "/none/audit.log";
  auto opened = AuditLog::Open(options_, clock_, metrics_);
  EXPECT_EQ(ReasonOf(opened.status()), Reason::kInvalidConfig);
}

TEST_F(AuditLogTest, WithoutAFileNothingIsWrittenAndNothingRefused) {
  options_.file = "";
  Open();
  EXPECT_TRUE(Write("1"));
  EXPECT_FALSE(log_->enabled());
}

}  // namespace
}  // namespace sluice::server
