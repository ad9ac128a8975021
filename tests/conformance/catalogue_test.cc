#include <map>
#include <set>
#include <thread>

#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

class CatalogueTest : public StoreTest {
 protected:
  std::map<uint64_t, std::string> Topics() {
    std::map<uint64_t, std::string> topics;
    const auto contents = catalogue().Load();
    for (const TopicRecord& record : contents->topics) topics[record.id.value()] = record.config;
    return topics;
  }
  std::map<uint64_t, std::string> Subscriptions() {
    std::map<uint64_t, std::string> subscriptions;
    const auto contents = catalogue().Load();
    for (const SubscriptionRecord& record : contents->subscriptions)
      subscriptions[record.id.value()] = record.config;
    return subscriptions;
  }
};
INSTANTIATE_TEST_SUITE_P(Stores, CatalogueTest, testing::ValuesIn(AllStores()), StoreName);

TEST_P(CatalogueTest, IsEmptyAtFirst) {
  EXPECT_TRUE(Topics().empty());
  EXPECT_TRUE(Subscriptions().empty());
  Reopen();
  EXPECT_TRUE(Topics().empty());
  EXPECT_TRUE(Subscriptions().empty());
}

TEST_P(CatalogueTest, NeverGivesAnIdTwiceAlsoAfterRemovalAndReopen) {
  std::set<uint64_t> given;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 40; ++i) {
      const uint64_t id = catalogue().NewId();
      EXPECT_TRUE(given.insert(id).second) << id;
      if (i % 2 == 0) continue;
      ASSERT_EQ(PutTopic(TopicId(id)), absl::OkStatus());
      ASSERT_EQ(RemoveTopic(TopicId(id)), absl::OkStatus());
    }
    Reopen();
  }
}

TEST_P(CatalogueTest, NeverGivesAnIdTwiceToThreads) {
  std::vector<std::vector<uint64_t>> given(8);
  std::vector<std::thread> threads;
  for (auto& mine : given) {
    threads.emplace_back([this, &mine] {
      for (int i = 0; i < 500; ++i) mine.push_back(catalogue().NewId());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint64_t> all;
  for (const auto& mine : given) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 4000);
}

TEST_P(CatalogueTest, RemembersEveryByteOfAConfig) {
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  const std::vector<std::string> configs = {"", every_byte, std::string(100'000, 'x')};
  std::map<uint64_t, std::string> topics;
  std::map<uint64_t, std::string> subscriptions;
  const CursorState initial = StateAt(1);
  for (const std::string& config : configs) {
    const TopicId topic(catalogue().NewId());
    const SubscriptionId subscription(catalogue().NewId());
    ASSERT_EQ(PutTopic(topic, config), absl::OkStatus());
    ASSERT_EQ(PutSubscription(subscription, &initial, config), absl::OkStatus());
    topics[topic.value()] = config;
    subscriptions[subscription.value()] = config;
  }
  EXPECT_EQ(Topics(), topics);
  EXPECT_EQ(Subscriptions(), subscriptions);
  Reopen();
  EXPECT_EQ(Topics(), topics);
  EXPECT_EQ(Subscriptions(), subscriptions);
}

TEST_P(CatalogueTest, ALaterPutReplacesTheConfigAlone) {
  const TopicId topic = NewTopic();
  const SubscriptionId subscription = NewSubscription(StateAt(1));
  ASSERT_EQ(Append(*backend_->OpenLog(topic), MakeBatch({"kept"})), absl::OkStatus());
  ASSERT_EQ(Ack(*backend_->OpenCursor(subscription), {Range(1, 2)}), absl::OkStatus());
  ASSERT_EQ(PutTopic(topic, "changed topic"), absl::OkStatus());
  ASSERT_EQ(PutSubscription(subscription, nullptr, "changed subscription"), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Topics().at(topic.value()), "changed topic");
    EXPECT_EQ(Subscriptions().at(subscription.value()), "changed subscription");
    EXPECT_EQ(backend_->OpenLog(topic)->extent().next, Offset(2));
    EXPECT_EQ(backend_->OpenCursor(subscription)->state().acked.floor(), Offset(2));
    Reopen();
  }
}

TEST_P(CatalogueTest, ForgetsWhatWasRemoved) {
  const TopicId kept_topic = NewTopic();
  const TopicId topic = NewTopic();
  const SubscriptionId kept_subscription = NewSubscription(StateAt(1));
  const SubscriptionId subscription = NewSubscription(StateAt(1));
  ASSERT_EQ(RemoveTopic(topic), absl::OkStatus());
  ASSERT_EQ(RemoveSubscription(subscription), absl::OkStatus());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Topics(), (std::map<uint64_t, std::string>{{kept_topic.value(), "topic"}}));
    EXPECT_EQ(Subscriptions(),
              (std::map<uint64_t, std::string>{{kept_subscription.value(), "subscription"}}));
    Reopen();
  }
}

TEST_P(CatalogueTest, ChangesAreSeenInTheirOrderAfterAReopen) {
  const TopicId kept(catalogue().NewId());
  const TopicId gone(catalogue().NewId());
  std::vector<Answer<absl::Status>> answers(6);
  catalogue().PutTopic({kept, "first"}, answers[0].callback());
  catalogue().PutTopic({gone, "first"}, answers[1].callback());
  catalogue().RemoveTopic(kept, answers[2].callback());
  catalogue().PutTopic({kept, "second"}, answers[3].callback());
  catalogue().RemoveTopic(gone, answers[4].callback());
  catalogue().PutTopic({kept, "third"}, answers[5].callback());
  for (auto& answer : answers) EXPECT_EQ(answer.Wait(), absl::OkStatus());
  Reopen();
  EXPECT_EQ(Topics(), (std::map<uint64_t, std::string>{{kept.value(), "third"}}));
  for (const auto& answer : answers) EXPECT_EQ(answer.calls(), 1);
}

}  // namespace
}  // namespace sluice
