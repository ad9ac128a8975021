// Topics and subscriptions as resources: creating, changing, deleting, retention, shutting down.
#include "core/engine/engine.h"

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using EngineTest = EngineFixture;

TEST_F(EngineTest, CreatesEachNameOnce) {
  EXPECT_TRUE(CreateTopic("orders").ok());
  EXPECT_EQ(ReasonOf(CreateTopic("orders")), Reason::kTopicExists);
  EXPECT_TRUE(CreateSubscription("billing", "orders").ok());
  EXPECT_EQ(ReasonOf(CreateSubscription("billing", "orders")), Reason::kSubscriptionExists);
  EXPECT_EQ(ReasonOf(CreateSubscription("other", "missing")), Reason::kTopicNotFound);
}

TEST_F(EngineTest, ANameThatIsTakenIsTheAnswerWhateverElseIsMissing) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  EXPECT_EQ(ReasonOf(CreateSubscription("billing", "missing")), Reason::kSubscriptionExists);
  SubscriptionConfig config = FindSubscription("billing")->config();
  config.dead_letter = DeadLetterPolicy{.topic = TopicNamed("missing")};
  EXPECT_EQ(ReasonOf(CreateSubscription(config)), Reason::kSubscriptionExists);
  const auto snapshot = [&](std::string_view subscription) {
    absl::Status result = absl::UnknownError("no answer");
    engine_->CreateSnapshot(*SnapshotName::Parse("projects/test/snapshots/before"),
                            SubscriptionNamed(subscription), {},
                            [&](const auto& made) { result = made.status(); });
    return result;
  };
  ASSERT_TRUE(snapshot("billing").ok());
  EXPECT_EQ(ReasonOf(snapshot("missing")), Reason::kSnapshotExists);

  // What was refused for another reason leaves the name free.
  EXPECT_EQ(ReasonOf(CreateSubscription("audit", "missing")), Reason::kTopicNotFound);
  EXPECT_TRUE(CreateSubscription("audit", "orders").ok());
}

TEST_F(EngineTest, StartPositionsChooseWhereASubscriptionBegins) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  Advance(absl::Seconds(5));
  const absl::Time between = clock_.WallNow() - absl::Seconds(1);
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  const std::vector<std::pair<StartPosition, std::vector<std::string>>> cases = {
      {Earliest{}, {"a", "b", "c", "d"}},
      {Latest{}, {"d"}},
      {between, {"c", "d"}},
      {Offset(2), {"b", "c", "d"}},
      {Offset(1000), {"d"}},
      {Offset(0), {"a", "b", "c", "d"}},
      {clock_.WallNow() + absl::Hours(1), {"d"}},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    ASSERT_TRUE(CreateSubscription("start" + std::to_string(i), "orders", cases[i].first).ok());
  }
  ASSERT_TRUE(Publish("orders", {"d"}).ok());
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(Connect("start" + std::to_string(i)).consumer->TakeData(), cases[i].second)
        << "case " << i;
  }
}

TEST_F(EngineTest, AnEphemeralSubscriptionEndsWithItsConsumer) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  std::shared_ptr<Subscription> subscription;
  SubscriptionConfig config;
  config.topic = TopicNamed("orders");
  engine_->OpenEphemeral(config, Earliest{}, [&](auto opened) { subscription = *opened; });
  auto consumer = std::make_shared<FakeConsumer>();
  const ConsumerId id = *subscription->Attach(consumer, {});
  subscription->Grant(id, 10, Subscription::kNoByteLimit);
  EXPECT_THAT(consumer->TakeData(), ElementsAre("a"));
  EXPECT_EQ(FindTopic("orders")->stats().subscriptions, 1);
  subscription->Detach(id);
  EXPECT_EQ(FindTopic("orders")->stats().subscriptions, 0);
  EXPECT_EQ(engine_->subscription_count(), 0);
}

TEST_F(EngineTest, AnEphemeralSubscriptionTakesNothingAway) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  std::shared_ptr<Subscription> subscription;
  SubscriptionConfig config;
  config.topic = TopicNamed("orders");
  engine_->OpenEphemeral(config, Earliest{}, [&](auto opened) { subscription = *opened; });
  auto consumer = std::make_shared<FakeConsumer>();
  const ConsumerId id = *subscription->Attach(consumer, {});
  subscription->Grant(id, 10, Subscription::kNoByteLimit);
  EXPECT_EQ(subscription->Ack(id, Leases(consumer->Take())), 2u);
  subscription->Detach(id);
  EXPECT_EQ(FindTopic("orders")->log().extent().first, Offset(1));
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("a", "b"));
}

TEST_F(EngineTest, TrimsWhatEverySubscriptionAcknowledged) {
  auto one = Wire();
  ASSERT_TRUE(CreateSubscription("audit", "orders").ok());
  auto two = Connect("audit");
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  one.subscription->Ack(one.id, Leases(one.consumer->Take()));
  EXPECT_GT(store_->bytes(), 0);
  two.subscription->Ack(two.id, Leases(two.consumer->Take()));
  EXPECT_EQ(store_->bytes(), 0);
}

TEST_F(EngineTest, TrimsWhatWasAcknowledgedWhenACrashCameBeforeTheTrim) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a", "b"}).ok());
  const TopicId topic = FindTopic("orders")->id();
  const SubscriptionId subscription = wired.subscription->id();
  engine_ = nullptr;
  store_->CursorOf(subscription)->Ack({{Offset(1), Offset(3)}}, nullptr);
  ASSERT_EQ(store_->Log(topic)->extent().first, Offset(1));
  Open();
  EXPECT_EQ(FindTopic("orders")->log().extent().first, Offset(3));
  auto again = Connect("billing");
  ASSERT_TRUE(Publish("orders", {"c"}).ok());
  again.subscription->Ack(again.id, Leases(again.consumer->Take()));
  EXPECT_EQ(FindTopic("orders")->log().extent().first, Offset(4));
}

TEST_F(EngineTest, ADeletedSubscriptionNoLongerHoldsMessages) {
  auto wired = Wire();
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_TRUE(CreateSubscription("audit", "orders", Latest{}).ok());
  engine_->DeleteSubscription(SubscriptionNamed("billing"),
                              [](const auto& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_EQ(store_->bytes(), 0);
  EXPECT_EQ(ReasonOf(wired.consumer->ended()), Reason::kSubscriptionNotFound);
  EXPECT_EQ(ReasonOf(wired.subscription->Attach(wired.consumer, {}).status()),
            Reason::kSubscriptionNotFound);
}

TEST_F(EngineTest, KeepsMessagesOfATopicThatHasNoSubscriptionYet) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  ASSERT_TRUE(Publish("orders", {"a"}).ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders", Earliest{}).ok());
  EXPECT_THAT(Connect("billing").consumer->TakeData(), ElementsAre("a"));
}

TEST_F(EngineTest, RetentionByTimeDropsUnacknowledgedMessagesAndCountsThem) {
  auto wired = Wire(0);
  ASSERT_TRUE(Publish("orders", {"old", "older"}).ok());
  Advance(absl::Hours(24 * 6));
  ASSERT_TRUE(Publish("orders", {"new"}).ok());
  Advance(absl::Hours(24) + absl::Seconds(11));
  Advance(absl::Seconds(11));
  EXPECT_EQ(metrics_.engine.dropped_by_retention_time.value(), 2);
  wired.subscription->Grant(wired.id, 10, Subscription::kNoByteLimit);
  EXPECT_THAT(wired.consumer->TakeData(), ElementsAre("new"));
  EXPECT_EQ(wired.subscription->stats().backlog_messages, 1);
}

TEST_F(EngineTest, RetentionByBytesDropsTheOldest) {
  ASSERT_TRUE(CreateTopic("orders", kMinRetentionBytes).ok());
  ASSERT_TRUE(CreateSubscription("billing", "orders").ok());
  const std::string payload(10'000, 'x');
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(Publish("orders", {payload}).ok());
  EXPECT_LE(store_->bytes(), kMinRetentionBytes + 20'000);
  EXPECT_GE(store_->bytes(), kMinRetentionBytes - 50'000);
  const int64_t backlog = FindSubscription("billing")->stats().backlog_messages;
  EXPECT_EQ(Connect("billing").consumer->TakeData().size(), static_cast<size_t>(backlog));
  EXPECT_EQ(metrics_.engine.dropped_by_retention_bytes.value(),
            300 - static_cast<uint64_t>(backlog));
}

TEST_F(EngineTest, NothingIsPublishedToADeletedTopic) {
  Wire();
  auto topic = FindTopic("orders");
  engine_->DeleteTopic(TopicNamed("orders"), [](const auto& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_EQ(ReasonOf(engine_->FindTopic(TopicNamed("orders")).status()), Reason::kTopicNotFound);
  topic->Publish(MakeBatch({"late"}), [](const auto& published) {
    EXPECT_EQ(ReasonOf(published.status()), Reason::kTopicNotFound);
  });
}

TEST_F(EngineTest, UpdatesKeepCreateTimeAndSurviveReopening) {
  Wire();
  const absl::Time created = FindTopic("orders")->config().create_time;
  Advance(absl::Hours(1));
  TopicConfig config = FindTopic("orders")->config();
  config.retention = absl::Hours(2);
  config.labels = {{"team", "shop"}};
  config.create_time = absl::UnixEpoch();
  engine_->UpdateTopic(config, [](const auto& updated) { EXPECT_TRUE(updated.ok()); });
  Reopen();
  EXPECT_EQ(FindTopic("orders")->config().retention, absl::Hours(2));
  EXPECT_EQ(FindTopic("orders")->config().labels.at("team"), "shop");
  EXPECT_EQ(FindTopic("orders")->config().create_time,
            absl::FromUnixMicros(absl::ToUnixMicros(created)));
}

TEST_F(EngineTest, ListsByProjectInOrderAndInPages) {
  for (const char* id : {"ccc", "aaa", "bbb"}) ASSERT_TRUE(CreateTopic(id).ok());
  const auto ids = [&](std::string_view project, std::string_view after, size_t limit) {
    std::vector<std::string> found;
    for (const auto& topic : engine_->ListTopics(project, after, limit))
      found.emplace_back(topic->config().name.id());
    return found;
  };
  EXPECT_THAT(ids("projects/test", "", 100), ElementsAre("aaa", "bbb", "ccc"));
  EXPECT_THAT(ids("projects/test", "projects/test/topics/aaa", 1), ElementsAre("bbb"));
  EXPECT_THAT(ids("projects/tes", "", 100), IsEmpty());
}

TEST_F(EngineTest, LimitsAreCheckedAtTheirEdges) {
  TopicConfig topic;
  topic.name = TopicNamed("orders");
  const auto topic_reason = [&](auto change) {
    TopicConfig config = topic;
    change(config);
    return ReasonOf(Validate(config));
  };
  EXPECT_EQ(topic_reason([](auto& c) { c.retention = kMinRetention; }), std::nullopt);
  EXPECT_EQ(topic_reason([](auto& c) { c.retention = kMinRetention - absl::Seconds(1); }),
            Reason::kInvalidRetention);
  EXPECT_EQ(topic_reason([](auto& c) { c.retention = kMaxRetention; }), std::nullopt);
  EXPECT_EQ(topic_reason([](auto& c) { c.retention = kMaxRetention + absl::Seconds(1); }),
            Reason::kInvalidRetention);
  EXPECT_EQ(topic_reason([](auto& c) { c.retention_bytes = kMinRetentionBytes - 1; }),
            Reason::kInvalidRetention);
  EXPECT_EQ(topic_reason([](auto& c) { c.retention_bytes = -1; }), Reason::kInvalidRetention);
  EXPECT_EQ(topic_reason([](auto& c) { c.labels[std::string(63, 'k')] = std::string(63, 'v'); }),
            std::nullopt);
  EXPECT_EQ(topic_reason([](auto& c) { c.labels[std::string(64, 'k')] = ""; }),
            Reason::kInvalidLabel);
  EXPECT_EQ(topic_reason([](auto& c) { c.labels[""] = ""; }), Reason::kInvalidLabel);
  EXPECT_EQ(topic_reason([](auto& c) {
              for (size_t i = 0; i <= kMaxLabels; ++i) c.labels[std::to_string(i)] = "";
            }),
            Reason::kInvalidLabel);
  SubscriptionConfig subscription;
  for (auto [seconds, good] : {std::pair{9, false}, {10, true}, {600, true}, {601, false}}) {
    subscription.ack_deadline = absl::Seconds(seconds);
    EXPECT_EQ(Validate(subscription).ok(), good) << seconds;
  }
}

TEST_F(EngineTest, ShutdownEndsConsumersAndRefusesWhatComesAfter) {
  auto wired = Wire();
  auto topic = FindTopic("orders");
  ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
  EXPECT_EQ(ReasonOf(wired.consumer->ended()), Reason::kDraining);
  topic->Publish(MakeBatch({"late"}), [](const auto& published) {
    EXPECT_EQ(ReasonOf(published.status()), Reason::kDraining);
  });
  EXPECT_EQ(ReasonOf(CreateTopic("more")), Reason::kDraining);
  engine_ = nullptr;
  EXPECT_EQ(wired.subscription->Ack(wired.id, {{LeaseId(1), LeaseId(9)}}), 0);  // an empty shell
}

TEST_F(EngineTest, AFullStoreRefusesAndTakesAgainWhenSpaceIsBack) {
  store_ = std::make_shared<MemoryStore>(3000);
  ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
  Open();
  auto wired = Wire();
  const std::string payload(1000, 'x');
  ASSERT_TRUE(Publish("orders", {payload}).ok());
  ASSERT_TRUE(Publish("orders", {payload}).ok());
  EXPECT_EQ(ReasonOf(Publish("orders", {payload}).status()), Reason::kStorageFull);
  wired.subscription->Ack(wired.id, Leases(wired.consumer->Take()));
  EXPECT_TRUE(Publish("orders", {payload}).ok());
}

TEST_F(EngineTest, NoMoreTopicsAndSubscriptionsThanTheLimit) {
  ASSERT_TRUE(engine_->Shutdown(absl::Seconds(5)).ok());
  engine_ = *Engine::Open(std::make_unique<MemoryBackend>(store_), clock_, metrics_,
                          {.max_topics = 2, .max_subscriptions = 1, .run_timers = false});
  EXPECT_TRUE(CreateTopic("one").ok());
  EXPECT_TRUE(CreateSubscription("first", "one").ok());
  EXPECT_TRUE(CreateTopic("two").ok());
  const absl::Status refused = CreateTopic("three");
  EXPECT_EQ(ReasonOf(refused), Reason::kTooManyTopics);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(CreateTopic("two")), Reason::kTopicExists)
      << "what is there already is said first";
  EXPECT_EQ(ReasonOf(CreateSubscription("second", "one")), Reason::kTooManySubscriptions);
  engine_->DeleteTopic(TopicNamed("one"),
                       [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  EXPECT_TRUE(CreateTopic("three").ok());
}

TEST_F(EngineTest, ABatchPastItsDeadlineIsNotPublished) {
  ASSERT_TRUE(CreateTopic("orders").ok());
  Ref<Batch> batch = MakeBatch({"late"});
  batch->set_deadline(clock_.Now() + absl::Seconds(1));
  Advance(absl::Seconds(1));
  absl::Status status;
  FindTopic("orders")->Publish(batch, [&](const auto& published) { status = published.status(); });
  EXPECT_EQ(ReasonOf(status), Reason::kDeadlineExceeded);
  EXPECT_EQ(FindTopic("orders")->stats().published_messages, 0u);
}

}  // namespace
}  // namespace sluice
