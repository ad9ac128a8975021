// The grammar of filters, what they match, and what is said of those that are wrong.
#include "core/filter/filter.h"

#include "core/base/error.h"
#include "core/message/batch.h"
#include "gmock/gmock.h"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string MessageOf(const std::vector<AttributeView>& attributes, uint32_t priority = 0) {
  OutgoingMessage message;
  message.data = "payload";
  message.attributes = attributes;
  message.priority = priority;
  BatchBuilder builder;
  EXPECT_TRUE(builder.Add(message).ok());
  return std::string((*builder.Build())->message(0));
}

bool Matches(std::string_view filter, const std::vector<AttributeView>& attributes,
             uint32_t priority = 0) {
  const auto compiled = Filter::Compile(filter);
  EXPECT_TRUE(compiled.ok()) << filter << ": " << compiled.status();
  return compiled.ok() && compiled->Matches(MessageOf(attributes, priority));
}

struct Case {
  const char* filter;
  bool matches;
};

// Of one message: colour = red, empty = "", a.b = x y, ä = 1; priority 5.
class FilterCaseTest : public testing::TestWithParam<Case> {};

TEST_P(FilterCaseTest, Decides) {
  EXPECT_EQ(
      Matches(GetParam().filter, {{"colour", "red"}, {"empty", ""}, {"a.b", "x y"}, {"ä", "1"}}, 5),
      GetParam().matches)
      << GetParam().filter;
}

INSTANTIATE_TEST_SUITE_P(
    Terms, FilterCaseTest,
    testing::Values(
        Case{"", true}, Case{"  \n\t ", true}, Case{"attributes:colour", true},
        Case{"attributes:size", false}, Case{"attributes:empty", true},
        Case{"attributes : colour", true}, Case{"attributes:\"a.b\"", true},
        Case{"attributes:\"ä\"", true}, Case{"attributes.colour = \"red\"", true},
        Case{"attributes.colour=\"blue\"", false}, Case{"attributes.size = \"\"", false},
        Case{"attributes.empty = \"\"", true}, Case{"attributes.colour != \"red\"", false},
        Case{"attributes.colour != \"blue\"", true}, Case{"attributes.size != \"red\"", true},
        Case{"attributes.empty != \"\"", false}, Case{"attributes.\"a.b\" = \"x y\"", true},
        Case{"hasPrefix(attributes.colour, \"re\")", true},
        Case{"hasPrefix(attributes.colour, \"\")", true},
        Case{"hasPrefix(attributes.colour, \"redder\")", false},
        Case{"hasPrefix(attributes.size, \"\")", false},
        Case{"hasPrefix ( attributes . colour , \"r\" )", true}));

INSTANTIATE_TEST_SUITE_P(
    Operators, FilterCaseTest,
    testing::Values(Case{"NOT attributes:size", true}, Case{"-attributes:size", true},
                    Case{"NOT NOT attributes:size", false}, Case{"--attributes:colour", true},
                    Case{"NOT(attributes:colour)", false}, Case{"- - attributes:colour", true},
                    Case{"attributes:colour AND attributes:empty", true},
                    Case{"attributes:colour AND attributes:size", false},
                    Case{"attributes:colour AND attributes:empty AND attributes:size", false},
                    Case{"attributes:size OR attributes:colour", true},
                    Case{"attributes:size OR attributes:weight", false},
                    Case{"attributes:size OR attributes:weight OR attributes:empty", true},
                    Case{"(attributes:size OR attributes:colour) AND attributes:empty", true},
                    Case{"NOT (attributes:colour AND attributes:size)", true},
                    Case{"attributes:size OR NOT (attributes:colour OR attributes:weight)", false},
                    Case{"((((attributes:colour))))", true},
                    Case{"NOT ((NOT (attributes:colour)))", true}));

INSTANTIATE_TEST_SUITE_P(Priorities, FilterCaseTest,
                         testing::Values(Case{"priority = 5", true}, Case{"priority=4", false},
                                         Case{"priority != 5", false}, Case{"priority < 6", true},
                                         Case{"priority<5", false}, Case{"priority <= 5", true},
                                         Case{"priority > 5", false}, Case{"priority >= 5", true},
                                         Case{"priority > 4 AND priority < 6", true},
                                         Case{"priority >= 18446744073709551615", false}));

TEST(FilterTest, StringsHaveEscapes) {
  EXPECT_TRUE(Matches(R"(attributes.k = "a\"b\\c\nd\te")", {{"k", "a\"b\\c\nd\te"}}));
  EXPECT_TRUE(Matches(R"(attributes.k = "\u00e4\u20AC\x41\101")", {{"k", "ä€AA"}}));
  EXPECT_TRUE(Matches(R"(attributes:"quo\"ted")", {{"quo\"ted", ""}}));
}

TEST(FilterTest, NoPriorityIsZero) {
  EXPECT_TRUE(Matches("priority = 0", {}));
  EXPECT_TRUE(Matches("priority < 1", {{"a", "b"}}));
  EXPECT_FALSE(Matches("priority > 0", {}));
}

// As protobuf's maps have it.
TEST(FilterTest, TheLastOfTwoEqualKeysCounts) {
  std::string message;
  AppendAttribute(&message, {"k", "first"});
  AppendAttribute(&message, {"k", "last"});
  EXPECT_FALSE(Filter::Compile("attributes.k = \"first\"")->Matches(message));
  EXPECT_TRUE(Filter::Compile("attributes.k = \"last\"")->Matches(message));
  EXPECT_TRUE(Filter::Compile("attributes.k != \"first\"")->Matches(message));
}

TEST(FilterTest, BlankTextMatchesAllAndOnlyThat) {
  EXPECT_TRUE(Filter().matches_all());
  EXPECT_TRUE(Filter::Compile(" ")->matches_all());
  EXPECT_FALSE(Filter::Compile("attributes:k")->matches_all());
  EXPECT_FALSE(Filter::Compile("NOT attributes:k AND attributes:k")->matches_all());
}

TEST(FilterTest, LongestFilterIsAcceptedAndOneLongerIsNot) {
  std::string filter = "attributes:";
  filter += std::string(256 - filter.size(), 'k');
  EXPECT_TRUE(Filter::Compile(filter).ok());
  const absl::Status status = Filter::Compile(filter + "k").status();
  EXPECT_EQ(ReasonOf(status), Reason::kInvalidFilter);
  EXPECT_THAT(std::string(status.message()), HasSubstr("257 bytes, but it must be at most 256"));
}

TEST(FilterTest, ManyTermsAndDeepNesting) {
  std::string terms = "priority=9";
  while (terms.size() + 14 <= 256) terms += " OR priority=5";
  EXPECT_FALSE(Matches(terms, {}, 4));
  EXPECT_TRUE(Matches(terms, {}, 5));
  const std::string nested = std::string(122, '(') + "priority=1" + std::string(122, ')');
  EXPECT_TRUE(Matches(nested, {}, 1));
  EXPECT_TRUE(Matches(std::string(246, '-') + "priority=1", {}, 1));
}

struct Wrong {
  const char* filter;
  const char* said;
};
class WrongFilterTest : public testing::TestWithParam<Wrong> {};

TEST_P(WrongFilterTest, SaysWhereAndWhat) {
  const absl::Status status = Filter::Compile(GetParam().filter).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), Reason::kInvalidFilter);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().said)) << GetParam().filter;
}

INSTANTIATE_TEST_SUITE_P(
    , WrongFilterTest,
    testing::Values(
        Wrong{"colour = \"red\"",
              "at character 1: expected attributes, hasPrefix, priority, NOT, - or (, found "
              "\"colour\""},
        Wrong{"attributes", "at character 11: expected \":\" or \".\", found the end"},
        Wrong{"attributes:", "at character 12: expected a key"},
        Wrong{"attributes.k", "at character 13: expected \"=\" or \"!=\", found the end"},
        Wrong{"attributes.k == \"v\"",
              "at character 15: expected a string in double quotes, found \"=\""},
        Wrong{"attributes.k = v",
              "at character 16: expected a string in double quotes, found \"v\""},
        Wrong{"attributes.k = 'v'",
              "at character 16: expected a string in double quotes, found \"'\""},
        Wrong{"attributes.k > \"v\"", "at character 14: expected \"=\" or \"!=\", found \">\""},
        Wrong{"attributes.k = \"v",
              "at character 18: expected the string's closing double quote, found the end"},
        Wrong{"attributes:k attributes:l",
              "at character 14: expected AND, OR or the end, found \"attributes\""},
        Wrong{"attributes:k and attributes:l",
              "at character 14: expected AND, OR or the end, found \"and\""},
        Wrong{"attributes:k AND", "at character 17: expected attributes"},
        Wrong{"attributes:k AND attributes:l OR attributes:m",
              "at character 31: expected parentheses"},
        Wrong{"attributes:k OR attributes:l AND attributes:m",
              "at character 30: expected parentheses"},
        Wrong{"(attributes:k", "at character 14: expected \")\", found the end"},
        Wrong{"attributes:k)", "at character 13: expected AND, OR or the end, found \")\""},
        Wrong{"()", "at character 2: expected attributes"},
        Wrong{"NOT", "at character 4: expected attributes"},
        Wrong{"not attributes:k", "found \"not\""},
        Wrong{"NOTattributes:k", "found \"NOTattributes\""},
        Wrong{"hasPrefix attributes.k", "at character 11: expected \"(\""},
        Wrong{"hasPrefix(attributes:k, \"v\")", "at character 21: expected \".\", found \":\""},
        Wrong{"hasPrefix(attributes.k)", "at character 23: expected \",\", found \")\""},
        Wrong{"hasSuffix(attributes.k, \"v\")", "found \"hasSuffix\""},
        Wrong{"priority", "at character 9: expected one of = != < <= > >=, found the end"},
        Wrong{"priority = high", "at character 12: expected a number, found \"high\""},
        Wrong{"priority = -1", "at character 12: expected a number, found \"-1\""},
        Wrong{"priority = 5x", "at character 13: expected the end of the number, found \"x\""},
        Wrong{"priority = 99999999999999999999", "expected a number"},
        Wrong{
            "attributes.k = \"\\q\"",
            "at character 17: expected one of \\\" \\\\ \\n \\t \\uXXXX \\xHH \\ooo, found \"\\\""},
        Wrong{"attributes.k = \"\\u12\"", "expected 4 hexadecimal digits"},
        Wrong{"attributes.k = \"\\xg0\"", "expected 2 hexadecimal digits"},
        Wrong{"attributes.k = \"\\08\"", "expected 3 octal digits"},
        Wrong{"attributes.k = \"\\ud800\"", "expected a character, not a half of one"},
        Wrong{"attributes.k = \"\\", "at character 17"},
        Wrong{
            "attributes.ä = \"v\"",
            "at character 12: expected a key, of A-Z a-z 0-9 _ - or in double quotes, found \"ä\""},
        Wrong{"attributes.\"ä\" = é",
              "at character 18: expected a string in double quotes, found \"é\""}));

TEST(FilterTest, ThePubSubGrammarHasNoPriorities) {
  const absl::Status status = Filter::Compile("priority = 1", Filter::Grammar::kPubsub).status();
  EXPECT_EQ(ReasonOf(status), Reason::kInvalidFilter);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected attributes, hasPrefix, NOT, - or ("));
  EXPECT_EQ(ReasonOf(Filter::Compile("attributes:\"\xff\"").status()), Reason::kInvalidUtf8);
}

}  // namespace
}  // namespace sluice
