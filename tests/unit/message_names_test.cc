// Which names of resources and projects are valid.
#include "core/base/error.h"
#include "core/message/names.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

const std::string kLongestProject(255, 'p');

TEST(NamesTest, ProjectsAreIdsNumbersOrWithinADomain) {
  for (const std::string& project :
       {std::string("p"), std::string("123456789012"), std::string("7"), std::string("my-project"),
        std::string("example.com:my-project"), std::string("a.b_c~d+e%f-1"), kLongestProject}) {
    const auto topic = TopicName::Parse("projects/" + project + "/topics/orders");
    ASSERT_TRUE(topic.ok()) << project;
    EXPECT_EQ(topic->project(), project);
    EXPECT_EQ(topic->id(), "orders");
    EXPECT_TRUE(SubscriptionName::Parse("projects/" + project + "/subscriptions/orders").ok())
        << project;
    EXPECT_TRUE(SnapshotName::Parse("projects/" + project + "/snapshots/orders").ok()) << project;
    EXPECT_TRUE(CheckProjectName("projects/" + project, "project").ok()) << project;
  }
}

TEST(NamesTest, OtherProjectsAreRefused) {
  for (const std::string& project :
       {std::string(), std::string("-"), std::string("*"), std::string(":p"), std::string(".com:p"),
        std::string("a b"), std::string("a\n"), std::string("\xff"), kLongestProject + "p"}) {
    EXPECT_EQ(ReasonOf(TopicName::Parse("projects/" + project + "/topics/orders").status()),
              Reason::kInvalidName)
        << project;
    EXPECT_EQ(ReasonOf(CheckProjectName("projects/" + project, "project")), Reason::kInvalidName)
        << project;
  }
  EXPECT_FALSE(CheckProjectName("projects/p/topics", "project").ok());
}

TEST(NamesTest, TheLastPartIsThreeTo255AndBeginsWithALetter) {
  const auto valid = [](const std::string& id) {
    return TopicName::Parse("projects/p/topics/" + id).ok();
  };
  EXPECT_TRUE(valid("abc"));
  EXPECT_TRUE(valid(std::string(255, 'a')));
  for (const std::string& id :
       {std::string("ab"), std::string(256, 'a'), std::string("1abc"), std::string("a:b:c"),
        std::string("googtopic"), std::string("a/b")}) {
    EXPECT_FALSE(valid(id)) << id;
  }
}

}  // namespace
}  // namespace sluice
