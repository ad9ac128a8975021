// Trace contexts as they come in headers and in messages, and which new traces are recorded.
#include "server/tracing/context.h"

#include <random>
#include <string>

#include "core/message/message_view.h"
#include "gtest/gtest.h"
#include "server/tracing/sampler.h"

namespace sluice::server {
namespace {

// The example of the standard.
const std::string kExample = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const std::string kOther = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

std::string MessageWith(const std::vector<AttributeView>& attributes) {
  std::string message;
  AppendBytesField(&message, kDataField, "payload");
  for (const AttributeView& attribute : attributes) AppendAttribute(&message, attribute);
  return message;
}

TEST(TraceparentTest, ReadsTheExampleOfTheStandard) {
  const auto context = ParseTraceparent(kExample);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id[0], 0x4b);
  EXPECT_EQ(context->trace_id[15], 0x36);
  EXPECT_EQ(context->span_id[0], 0x00);
  EXPECT_EQ(context->span_id[7], 0xb7);
  EXPECT_TRUE(context->sampled());
  EXPECT_FALSE(ParseTraceparent(kOther)->sampled());
}

TEST(TraceparentTest, PassesOverWhatIsNotExactlyRight) {
  for (const char* wrong : {
           "",
           "00",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
           " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
       }) {
    EXPECT_FALSE(ParseTraceparent(wrong)) << wrong;
  }
}

TEST(TraceparentTest, LaterVersionsMaySayMore) {
  const std::string later = "cc" + kExample.substr(2);
  EXPECT_TRUE(ParseTraceparent(later));
  EXPECT_TRUE(ParseTraceparent(later + "-what-the-future-will-be-like"));
  EXPECT_FALSE(ParseTraceparent(later + ".what-the-future-will-not-be-like"));
  // Their other flags mean what is not known yet.
  EXPECT_EQ(ParseTraceparent("cc" + kExample.substr(2, 51) + "ff")->flags, 1);
}

// Whatever byte stands wherever: what is read is what was written.
TEST(TraceparentTest, ReadsNothingThatItWouldNotWrite) {
  for (size_t at = 0; at < kExample.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = kExample;
      text[at] = static_cast<char>(byte);
      const auto context = ParseTraceparent(text);
      if (!context || !text.starts_with("00")) continue;
      EXPECT_EQ(FormatTraceparent(*context), text);
    }
    EXPECT_FALSE(ParseTraceparent(kExample.substr(0, at)));
  }
}

TEST(TracestateTest, TakesWhatTheStandardAllows) {
  for (const char* right : {"congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
                            "tenant@vendor=x y!~", "a=1, b=2 ,\tc=3", "a=1,,b=2", "1a-*/_=v"}) {
    EXPECT_TRUE(IsTracestate(right)) << right;
  }
  std::string most = "k0=v";
  for (int i = 1; i < 32; ++i) most += ",k" + std::to_string(i) + "=v";
  EXPECT_TRUE(IsTracestate(most));
  EXPECT_FALSE(IsTracestate(most + ",k32=v"));
  EXPECT_TRUE(IsTracestate("a=" + std::string(256, 'x')));
}

TEST(TracestateTest, PassesOverTheRest) {
  for (const char* wrong :
       {"", ",", "a", "=v", "A=1", "a=", "a=1=2", "a=\x01", "a=\xc3\xa4", "a b=1", "a=1,b"}) {
    EXPECT_FALSE(IsTracestate(wrong)) << wrong;
  }
  EXPECT_FALSE(IsTracestate("a=" + std::string(257, 'x')));
  EXPECT_FALSE(IsTracestate("a=1,b=" + std::string(253, 'x') + ",c=" + std::string(256, 'x')));
}

TEST(MessageContextTest, IsInTheAttributes) {
  const auto context = ContextOf(
      MessageWith({{"colour", "red"}, {"traceparent", kExample}, {"tracestate", "congo=t61"}}));
  ASSERT_TRUE(context);
  EXPECT_EQ(FormatTraceparent(*context), kExample);
  EXPECT_EQ(context->tracestate, "congo=t61");
  EXPECT_FALSE(ContextOf(MessageWith({{"colour", "red"}})));
}

TEST(MessageContextTest, MayHaveTheNamesOfGooglesClients) {
  const auto context = ContextOf(
      MessageWith({{"googclient_traceparent", kExample}, {"googclient_tracestate", "a=1"}}));
  ASSERT_TRUE(context);
  EXPECT_EQ(FormatTraceparent(*context), kExample);
  EXPECT_EQ(context->tracestate, "a=1");
}

TEST(MessageContextTest, TheStandardsNamesComeFirst) {
  const auto both =
      ContextOf(MessageWith({{"googclient_traceparent", kOther}, {"traceparent", kExample}}));
  EXPECT_EQ(FormatTraceparent(*both), kExample);
  const auto wrong =
      ContextOf(MessageWith({{"googclient_traceparent", kOther}, {"traceparent", "nonsense"}}));
  EXPECT_EQ(FormatTraceparent(*wrong), kOther);
}

TEST(MessageContextTest, AWrongTracestateIsLeftOut) {
  const auto context = ContextOf(MessageWith({{"traceparent", kExample}, {"tracestate", "=="}}));
  ASSERT_TRUE(context);
  EXPECT_EQ(context->tracestate, "");
}

// Whatever the bytes are, reading them ends, and what is found can be written.
TEST(MessageContextTest, DamagedMessagesDoNoHarm) {
  const std::string whole = MessageWith({{"tracestate", "a=1"}, {"traceparent", kExample}});
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = whole;
    for (unsigned changes = 1 + random() % 4; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % 4 == 0 ? random() % bytes.size() : bytes.size());
    const auto context = ContextOf(bytes);
    if (!context) continue;
    EXPECT_TRUE(ParseTraceparent(FormatTraceparent(*context)));
  }
}

TEST(FoundContextsTest, KeepsEachOnceUpToTheBound) {
  FoundContexts found;
  SpanContext context = *ParseTraceparent(kExample);
  found.Add(context);
  found.Add(context);
  EXPECT_EQ(found.sampled.size(), 1u);
  for (uint8_t i = 0; i < FoundContexts::kMost + 2; ++i) {
    context.span_id[1] = i;
    found.Add(context);
  }
  EXPECT_EQ(found.sampled.size(), FoundContexts::kMost);
  EXPECT_EQ(found.left_out, 3u);
}

TEST(FoundContextsTest, KnowsOfThoseThatAreNotSampled) {
  FoundContexts found;
  EXPECT_FALSE(found.any);
  found.Add(*ParseTraceparent(kOther));
  EXPECT_TRUE(found.any);
  EXPECT_TRUE(found.sampled.empty());
}

TEST(FoundContextsTest, LooksIntoMessages) {
  FoundContexts found;
  EXPECT_FALSE(found.AddFrom(MessageWith({{"colour", "red"}})));
  EXPECT_FALSE(found.any);
  EXPECT_FALSE(found.AddFrom(MessageWith({{"traceparent", kOther}})));
  EXPECT_TRUE(found.any);
  EXPECT_FALSE(found.AddFrom(MessageWith({{"googclient_traceparent", kOther}})));
  EXPECT_TRUE(found.AddFrom(MessageWith({{"googclient_traceparent", kExample}})));
  // What is wrong does not stand in the way of what is right.
  std::string wrong = kOther;
  wrong[5] = 'x';
  EXPECT_TRUE(
      found.AddFrom(MessageWith({{"traceparent", wrong}, {"googclient_traceparent", kExample}})));
  EXPECT_EQ(found.sampled.size(), 1u);
}

TEST(SamplerTest, TakesItsShare) {
  std::mt19937_64 random(1);
  int tenth = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::array<uint8_t, 16> id;
    for (uint8_t& byte : id) byte = static_cast<uint8_t>(random());
    EXPECT_TRUE(RatioSampler(1).Samples(id));
    EXPECT_FALSE(RatioSampler(0).Samples(id));
    tenth += RatioSampler(0.1).Samples(id);
    // Who records a tenth records what is in a hundredth.
    EXPECT_LE(RatioSampler(0.01).Samples(id), RatioSampler(0.1).Samples(id));
  }
  EXPECT_NEAR(tenth, 1000, 150);
}

TEST(SamplerTest, DecidesByTheLastBytesOfTheId) {
  const auto id = [](uint8_t ninth) {
    return std::array<uint8_t, 16>{255, 255, 255, 255, 255, 255, 255, 255, ninth};
  };
  EXPECT_TRUE(RatioSampler(0.5).Samples(id(0x7f)));
  EXPECT_FALSE(RatioSampler(0.5).Samples(id(0x80)));
}

}  // namespace
}  // namespace sluice::server
