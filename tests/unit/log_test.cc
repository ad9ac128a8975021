// The log: levels of its parts, lines, and what is held back.
#include <sstream>

#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "server/log/event_log.h"
#include "spdlog/sinks/ostream_sink.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LogTest : public testing::Test {
 protected:
  void SetLevels(std::string_view text) {
    LogLevels levels;
    ASSERT_EQ(ParseLogLevels(text, &levels), "");
    log_.SetLevels(levels);
  }
  void Write(LogLevel level, std::string_view event, const LogFields& fields = {},
             LogPart part = LogPart::kServer) {
    log_.Write(level, part, event, fields);
  }
  // What was written since the last call, from behind the time.
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    std::istringstream in(out_.str());
    for (std::string line; std::getline(in, line);)
      lines.push_back(line.substr(std::min(line.size(), line.find(' ') + 1)));
    out_.str("");
    return lines;
  }

  ManualClock clock_;
  std::ostringstream out_;
  EventLog log_{std::make_shared<spdlog::sinks::ostream_sink_mt>(out_), clock_};
};

TEST_F(LogTest, ALineIsAnEventWithItsFieldsAndItsPart) {
  Write(LogLevel::kInfo, "ready", {{"grpc", "127.0.0.1:1"}, {"why", "it is"}, {"none", ""}});
  Write(LogLevel::kWarning, "bad file", {{"file", "a=b"}}, LogPart::kTls);
  EXPECT_THAT(Lines(), ElementsAre("info ready grpc=127.0.0.1:1 why=\"it is\" none=\"\"",
                                   "warning bad file file=\"a=b\" part=tls"));
}

TEST_F(LogTest, AsJsonALineIsAnObject) {
  log_.SetFormat(LogFormat::kJson);
  Write(LogLevel::kError, "bad \"bytes\"",
        {{"value", "\xff"}, {"request_id", "r-1"}, {"trace_id", "t"}}, LogPart::kStore);
  const auto line = nlohmann::json::parse(out_.str());
  EXPECT_EQ(line["level"], "error");
  EXPECT_EQ(line["part"], "store");
  EXPECT_EQ(line["msg"], "bad \"bytes\"");
  EXPECT_EQ(line["request_id"], "r-1");
  EXPECT_EQ(line["trace_id"], "t");
}

TEST_F(LogTest, EachPartHasALevelWhichMayChange) {
  SetLevels("warning,push=debug");
  Write(LogLevel::kInfo, "a");
  Write(LogLevel::kWarning, "b");
  Write(LogLevel::kDebug, "c", {}, LogPart::kPush);
  EXPECT_THAT(Lines(), ElementsAre("warning b", "debug c part=push"));
  EXPECT_TRUE(log_.Writes(LogLevel::kDebug, LogPart::kPush));
  EXPECT_FALSE(log_.Writes(LogLevel::kInfo, LogPart::kTls));
  SetLevels("error");
  Write(LogLevel::kWarning, "b");
  Write(LogLevel::kInfo, "c", {}, LogPart::kPush);
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(LogTest, LevelsAreReadAndWrittenTheSame) {
  LogLevels levels;
  EXPECT_EQ(ParseLogLevels("push=debug, warning ,tls = error", &levels), "");
  EXPECT_EQ(ToText(levels), "warning,push=debug,tls=error");
  EXPECT_EQ(levels.of(LogPart::kTls), LogLevel::kError);
  EXPECT_EQ(levels.of(LogPart::kHttp), LogLevel::kWarning);
}

TEST_F(LogTest, WrongLevelsSayWhatThereIsAndChangeNothing) {
  LogLevels levels;
  EXPECT_EQ(ParseLogLevels("loud", &levels),
            "unknown level 'loud'; use debug, info, warning, error");
  EXPECT_THAT(ParseLogLevels("info,pull=debug", &levels),
              HasSubstr("tls, audit, config, http, trace, grpc, and no 'pull'"));
  EXPECT_EQ(ParseLogLevels("debug,error", &levels), "'error' is a second level for all parts");
  EXPECT_EQ(ParseLogLevels("push=debug,push=info", &levels), "'push' has a level already");
  for (const char* text : {"", ",", "info,", "=", "push=", "=info", "INFO"})
    EXPECT_NE(ParseLogLevels(text, &levels), "") << text;
  EXPECT_EQ(ToText(levels), "info");
}

TEST_F(LogTest, WhatComesTooOftenIsToldOnceMoreWithItsNumber) {
  for (int i = 0; i < 100; ++i) Write(LogLevel::kError, "refused", {{"i", std::to_string(i)}});
  EXPECT_EQ(Lines().size(), 10u);
  clock_.Advance(absl::Milliseconds(9999));
  log_.WriteDue();
  EXPECT_THAT(Lines(), IsEmpty());
  clock_.Advance(absl::Milliseconds(1));
  log_.WriteDue();
  EXPECT_THAT(Lines(), ElementsAre("error refused i=99 repeated=90"));
  clock_.Advance(absl::Seconds(60));
  log_.WriteDue();
  EXPECT_THAT(Lines(), IsEmpty()) << "it was told once";
}

TEST_F(LogTest, TheNextOneTellsOfThoseBeforeIt) {
  for (int i = 0; i < 12; ++i) Write(LogLevel::kInfo, "again");
  Lines();
  clock_.Advance(absl::Seconds(10));
  Write(LogLevel::kInfo, "again");
  EXPECT_THAT(Lines(), ElementsAre("info again repeated=2", "info again"));
}

TEST_F(LogTest, EventsLevelsAndPartsAreCountedForThemselves) {
  for (int i = 0; i < 20; ++i) Write(LogLevel::kInfo, "a");
  Lines();
  Write(LogLevel::kInfo, "b");
  Write(LogLevel::kError, "a");
  Write(LogLevel::kInfo, "a", {}, LogPart::kTls);
  EXPECT_EQ(Lines().size(), 3u);
}

TEST_F(LogTest, WhatIsSlowIsNeverHeldBack) {
  for (int i = 0; i < 50; ++i) {
    Write(LogLevel::kWarning, "circuit breaker");
    clock_.Advance(absl::Milliseconds(1100));
  }
  EXPECT_EQ(Lines().size(), 50u);
}

TEST_F(LogTest, WhoAsksForDebugGetsAllOfIt) {
  SetLevels("debug");
  for (int i = 0; i < 100; ++i) Write(LogLevel::kDebug, "step");
  EXPECT_EQ(Lines().size(), 100u);
}

TEST_F(LogTest, WithMoreEventsThanItRemembersNoneIsLostWithoutATrace) {
  for (int i = 0; i < 15; ++i) Write(LogLevel::kError, "first");
  EXPECT_EQ(Lines().size(), 10u);
  clock_.Advance(absl::Milliseconds(1));
  for (size_t i = 0; i < Repeats::kMaxEvents; ++i)
    Write(LogLevel::kError, "other " + std::to_string(i));
  const std::vector<std::string> lines = Lines();
  EXPECT_EQ(lines.size(), Repeats::kMaxEvents + 1);
  EXPECT_THAT(lines, testing::Contains("error first repeated=5"));
}

TEST_F(LogTest, AtTheEndWhatIsHeldBackIsWritten) {
  for (int i = 0; i < 11; ++i) Write(LogLevel::kError, "last words", {{"i", std::to_string(i)}});
  Lines();
  log_.WriteHeld();
  EXPECT_THAT(Lines(), ElementsAre("error last words i=10 repeated=1"));
  log_.WriteHeld();
  EXPECT_THAT(Lines(), IsEmpty());
}

}  // namespace
}  // namespace sluice::server
