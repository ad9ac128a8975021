// google.pubsub.v1 through real gRPC, beside the native API on the same port. What the official
// clients make of it is in tests/interop.
#include "gmock/gmock.h"
#include "server/log/log.h"
#include "tests/integration/google_fixture.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

TEST_P(GoogleTest, ANewSubscriptionHasTheServicesDefaults) {
  MakeBoth();
  EXPECT_TRUE(made_.has_push_config());
  EXPECT_EQ(made_.ack_deadline_seconds(), 10);
  EXPECT_EQ(made_.message_retention_duration().seconds(), 604'800);
  EXPECT_EQ(made_.expiration_policy().ttl().seconds(), 2'678'400);
  EXPECT_EQ(made_.state(), pubsub::Subscription::ACTIVE);
}

TEST_P(GoogleTest, TheTwoApisSeeEachOthersTopicsAndMessages) {
  MakeBoth();
  client_->Publish("orders", {"native"});
  Publish({"google"});
  EXPECT_THAT(DataOf(Pull(10)), ElementsAre("native", "google"));
  EXPECT_EQ(client_->Stats("orders").leased_messages(), 2);
}

TEST_P(GoogleTest, IdsComeInTheOrderOfTheRequest) {
  MakeBoth();
  EXPECT_THAT(Publish({"a", "b", "c"}), ElementsAre("1", "2", "3"));
}

TEST_P(GoogleTest, AcknowledgedMessagesAreGoneAndThoseGivenBackComeAgain) {
  MakeBoth();
  Publish({"a", "b"});
  const auto ids = IdsOf(Pull(10));
  ASSERT_THAT(ids, SizeIs(2));
  EXPECT_TRUE(Acknowledge({ids[0]}).ok());
  EXPECT_TRUE(ModifyAckDeadline({ids[1]}, 0).ok());
  EXPECT_THAT(DataOf(Pull(10)), ElementsAre("b"));
  // Twice and late is no error.
  EXPECT_TRUE(Acknowledge(ids).ok());
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 0);
}

TEST_P(GoogleTest, APullThatIsToComeAtOnceDoesAlsoWithoutMessages) {
  MakeBoth();
  EXPECT_THAT(DataOf(Pull(10, /*at_once=*/true)), SizeIs(0));
}

TEST_P(GoogleTest, APullThatIsToComeAtOnceDoesSoWhenAllThereIsIsLeasedOrHeld) {
  pubsub::Subscription ordered;
  ordered.set_enable_message_ordering(true);
  MakeBoth(ordered);
  pubsub::PublishRequest request;
  pubsub::PublishResponse response;
  request.set_topic(TopicPath("orders"));
  for (const char* key : {"a", "", "a"}) {
    request.clear_messages();
    auto& message = *request.add_messages();
    message.set_data("x");
    message.set_ordering_key(key);
    ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response).ok());
  }
  ASSERT_THAT(DataOf(Pull(2)), SizeIs(2)) << "and the third waits behind the first of its key";
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 20; ++i) EXPECT_THAT(DataOf(Pull(10, /*at_once=*/true)), SizeIs(0));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4)) << "each waited for what cannot come";
}

TEST_P(GoogleTest, APullFillsUpWithWhatThereIsAlsoBesideAStream) {
  MakeBoth();
  constexpr int kEach = 200;
  const auto calls_for = [&](int messages) {
    int calls = 0;
    for (int pulled = 0; pulled < messages && calls < messages; ++calls) {
      const auto response = Pull(1000);
      pulled += response.received_messages_size();
      EXPECT_TRUE(Acknowledge(IdsOf(response)).ok());
    }
    return calls;
  };
  for (int i = 0; i < kEach; ++i) Publish({"alone"});
  EXPECT_LE(calls_for(kEach), 5);

  PullStream stream(*subscriber_, /*max_messages=*/10);
  for (int i = 0; i < kEach; ++i) Publish({"beside"});
  for (int streamed = 0; streamed < 10;) streamed += stream.ReadMessages().received_messages_size();
  EXPECT_LE(calls_for(kEach - 10), 5);
  stream.Cancel();
}

TEST_P(GoogleTest, AStreamSaysWhatTheSubscriptionIsLikeAtOnceAndWithEveryPong) {
  pubsub::Subscription ordered;
  ordered.set_enable_message_ordering(true);
  MakeBoth(ordered);
  PullStream stream(*subscriber_);
  for (int i = 0; i < 3; ++i) {
    const auto response = stream.Read();
    EXPECT_TRUE(response.has_subscription_properties());
    EXPECT_TRUE(response.subscription_properties().message_ordering_enabled());
    stream.Send({});
  }
  stream.Cancel();
}

TEST_P(GoogleTest, AStreamHoldsNoMoreThanItAskedForAlsoWhenItSettlesElsewhere) {
  MakeBoth();
  Publish({"a", "b", "c"});
  PullStream stream(*subscriber_, 2);
  const auto first = stream.ReadMessages();
  ASSERT_EQ(first.received_messages_size(), 2);
  EXPECT_TRUE(Acknowledge({first.received_messages(0).ack_id()}).ok());
  EXPECT_EQ(stream.ReadMessages().received_messages(0).message().data(), "c");
  stream.Cancel();
}

TEST_P(GoogleTest, WhatAStreamHeldIsSettledOnTheNextOne) {
  MakeBoth();
  Publish({"a"});
  PullStream first(*subscriber_);
  const std::string id = first.ReadMessages().received_messages(0).ack_id();
  first.Cancel();
  PullStream second(*subscriber_);
  second.Read();
  pubsub::StreamingPullRequest ack;
  ack.add_ack_ids(id);
  second.Send(ack);
  second.Send({});
  second.Read();
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 0);
  second.Cancel();
}

TEST_P(GoogleTest, ExactlyOnceRefusesIdsOneByOne) {
  pubsub::Subscription exactly_once;
  exactly_once.set_enable_exactly_once_delivery(true);
  MakeBoth(exactly_once);
  Publish({"a", "b"});
  const auto ids = IdsOf(Pull(10));
  ASSERT_THAT(ids, SizeIs(2));
  EXPECT_TRUE(Acknowledge({ids[0]}).ok());
  LogLevels levels;
  ASSERT_EQ(ParseLogLevels("server=debug", &levels), "");
  SetLogLevels(levels);
  testing::internal::CaptureStderr();
  const grpc::Status status = Acknowledge({ids[0], ids[1]});
  SetLogLevels({});
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("a call was refused rpc=google.pubsub.v1.Subscriber/Acknowledge "
                             "code=INVALID_ARGUMENT reason=INVALID_ACK_ID"));
  EXPECT_THAT(
      log,
      HasSubstr("acknowledgements were refused subscription=projects/test/subscriptions/orders"));
  EXPECT_THAT(log, HasSubstr("acknowledged already: 1"));
  EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT/EXACTLY_ONCE_ACKID_FAILURE");
  EXPECT_THAT(status.error_message(),
              HasSubstr("Some acknowledgement ids in the request were invalid."));
  EXPECT_EQ(InfoOf(status).domain(), "pubsub.googleapis.com");
  EXPECT_EQ(InfoOf(status).metadata_size(), 1);
  EXPECT_EQ(InfoOf(status).metadata().at(ids[0]), "PERMANENT_FAILURE_INVALID_ACK_ID");
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 0);
}

TEST_P(GoogleTest, ExactlyOnceConfirmsNacksOfSeveralMessagesOfAKey) {
  pubsub::Subscription subscription;
  subscription.set_enable_exactly_once_delivery(true);
  subscription.set_enable_message_ordering(true);
  MakeBoth(subscription);
  pubsub::PublishRequest request;
  pubsub::PublishResponse response;
  request.set_topic(TopicPath("orders"));
  for (int i = 0; i < 3; ++i) {
    auto& message = *request.add_messages();
    message.set_data("x");
    message.set_ordering_key("key");
  }
  ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response).ok());
  const auto ids = IdsOf(Pull(10));
  ASSERT_THAT(ids, SizeIs(3));
  EXPECT_EQ(CodeAndReason(ModifyAckDeadline({ids[2], ids[0], ids[1]}, 0)), "OK");
}

TEST_P(GoogleTest, ExactlyOnceLeavesWhatAStreamWasJustWritingLeased) {
  pubsub::Subscription exactly_once;
  exactly_once.set_enable_exactly_once_delivery(true);
  MakeBoth(exactly_once);
  PullStream stream(*subscriber_);
  // More than a client takes that does not read.
  for (int i = 0; i < 4; ++i) Publish({std::string(500'000, 'x')});
  while (client_->Stats("orders").leased_messages() == 0) {
  }
  stream.Cancel();
  while (client_->Stats("orders").consumers() > 0) {
  }
  for (int i = 0; i < 100; ++i)
    ASSERT_GT(client_->Stats("orders").leased_messages(), 0) << "the client may have it";
}

TEST_P(GoogleTest, ExactlyOnceRefusesTheIdOfAnotherSubscriptionAndConfirmsItsOwnOfTheSameLease) {
  pubsub::Subscription exactly_once;
  exactly_once.set_enable_exactly_once_delivery(true);
  MakeBoth(exactly_once);
  pubsub::Subscription other;
  other.set_name(SubscriptionPath("other"));
  other.set_topic(TopicPath("orders"));
  ASSERT_TRUE(
      Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSubscription, other, &other).ok());
  Publish({"a"});
  pubsub::PullRequest pull;
  pubsub::PullResponse pulled;
  pull.set_subscription(other.name());
  pull.set_max_messages(1);
  ASSERT_TRUE(Call(*subscriber_, &pubsub::Subscriber::Stub::Pull, pull, &pulled).ok());
  const std::string foreign = IdsOf(pulled).front();
  const std::string own = IdsOf(Pull(1)).front();
  PullStream stream(*subscriber_);
  stream.Read();
  pubsub::StreamingPullRequest ack;
  ack.add_ack_ids(own);
  ack.add_ack_ids(foreign);
  stream.Send(ack);
  const auto response = stream.Read();
  EXPECT_THAT(response.acknowledge_confirmation().ack_ids(), ElementsAre(own));
  EXPECT_THAT(response.acknowledge_confirmation().invalid_ack_ids(), ElementsAre(foreign));
  stream.Cancel();
}

TEST_P(GoogleTest, ExactlyOnceIsConfirmedOnTheStream) {
  pubsub::Subscription exactly_once;
  exactly_once.set_enable_exactly_once_delivery(true);
  MakeBoth(exactly_once);
  Publish({"a"});
  PullStream stream(*subscriber_);
  const std::string id = stream.ReadMessages().received_messages(0).ack_id();
  pubsub::StreamingPullRequest ack;
  ack.add_ack_ids(id);
  ack.add_ack_ids("forged");
  stream.Send(ack);
  const auto response = stream.Read();
  EXPECT_THAT(response.acknowledge_confirmation().ack_ids(), ElementsAre(id));
  EXPECT_THAT(response.acknowledge_confirmation().invalid_ack_ids(), ElementsAre("forged"));
  stream.Cancel();
}

TEST_P(GoogleTest, AStreamEndsWithTheReasonOfItsSubscription) {
  MakeBoth();
  PullStream detached(*subscriber_);
  detached.Read();
  pubsub::DetachSubscriptionRequest detach;
  pubsub::DetachSubscriptionResponse nothing;
  detach.set_subscription(SubscriptionPath("orders"));
  EXPECT_TRUE(
      Call(*publisher_, &pubsub::Publisher::Stub::DetachSubscription, detach, &nothing).ok());
  EXPECT_EQ(CodeAndReason(detached.Finish()), "FAILED_PRECONDITION/SUBSCRIPTION_DETACHED");
  ASSERT_TRUE(client_->DeleteSubscription("orders").ok());
  PullStream gone(*subscriber_);
  EXPECT_EQ(gone.Finish().error_message(), "Resource not found (resource=orders).");
}

TEST_P(GoogleTest, AStreamWithoutATopicWaitsUntilItsSubscriptionGoesToo) {
  MakeBoth();
  PullStream before(*subscriber_);
  before.Read();
  ASSERT_EQ(CodeAndReason(client_->DeleteTopic("orders")), "OK");
  PullStream after(*subscriber_);
  EXPECT_TRUE(after.Read().has_subscription_properties());
  before.Send({});
  EXPECT_TRUE(before.Read().has_subscription_properties());
  ASSERT_EQ(CodeAndReason(client_->DeleteSubscription("orders")), "OK");
  EXPECT_EQ(CodeAndReason(before.Finish()), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
  EXPECT_EQ(CodeAndReason(after.Finish()), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
}

TEST_P(GoogleTest, ADeletedTopicsBacklogIsDeliveredAndCanBeSought) {
  MakeBoth();
  Publish({"a", "b", "c", "d", "e"});
  ASSERT_EQ(CodeAndReason(client_->DeleteTopic("orders")), "OK");
  pubsub::CreateSnapshotRequest snapshot;
  pubsub::Snapshot made;
  snapshot.set_name("projects/test/snapshots/before");
  snapshot.set_subscription(SubscriptionPath("orders"));
  EXPECT_EQ(
      CodeAndReason(Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSnapshot, snapshot, &made)),
      "OK");
  EXPECT_EQ(made.topic(), "_deleted-topic_");
  for (int round = 0; round < 2; ++round) {
    const auto response = Pull(10);
    EXPECT_THAT(DataOf(response), ElementsAre("a", "b", "c", "d", "e"));
    EXPECT_TRUE(Acknowledge(IdsOf(response)).ok());
    pubsub::SeekRequest seek;
    pubsub::SeekResponse sought;
    seek.set_subscription(SubscriptionPath("orders"));
    seek.set_snapshot(snapshot.name());
    EXPECT_EQ(CodeAndReason(Call(*subscriber_, &pubsub::Subscriber::Stub::Seek, seek, &sought)),
              "OK");
  }
}

TEST_P(GoogleTest, ADrainEndsStreamsAndPullsWithUnavailable) {
  MakeBoth();
  PullStream stream(*subscriber_);
  stream.Read();
  EXPECT_TRUE(server_->Drain().ok());
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_P(GoogleTest, LeasesAndTheirAckIdsHoldAfterARestart) {
  // The memory store does not outlive the server.
  if (GetParam() == StoreKind::kMemory) return;
  MakeBoth();
  Publish({"a", "b", "c"});
  const auto ids = IdsOf(Pull(10));
  ASSERT_THAT(ids, SizeIs(3));
  ASSERT_TRUE(server_->Drain().ok());
  server_ = nullptr;
  Start();
  Connect();
  Publish({"d"});
  EXPECT_THAT(DataOf(Pull(10)), ElementsAre("d"));
  EXPECT_TRUE(Acknowledge({ids[0]}).ok());
  EXPECT_TRUE(ModifyAckDeadline({ids[1]}, 0).ok());
  EXPECT_THAT(DataOf(Pull(10)), ElementsAre("b"));
}

TEST_P(GoogleTest, AnUpdateChangesWhatItsMaskNamesAndNothingElse) {
  MakeBoth();
  pubsub::Subscription wanted;
  wanted.set_ack_deadline_seconds(60);
  wanted.set_retain_acked_messages(true);
  ASSERT_TRUE(Update("ack_deadline_seconds", wanted).ok());
  EXPECT_EQ(made_.ack_deadline_seconds(), 60);
  EXPECT_FALSE(made_.retain_acked_messages());
  wanted.mutable_retry_policy()->mutable_minimum_backoff()->set_seconds(20);
  ASSERT_TRUE(Update("retry_policy", wanted).ok());
  wanted.mutable_retry_policy()->mutable_minimum_backoff()->set_seconds(30);
  wanted.mutable_retry_policy()->mutable_maximum_backoff()->set_seconds(40);
  ASSERT_TRUE(Update("retry_policy.maximum_backoff", wanted).ok());
  EXPECT_EQ(made_.retry_policy().minimum_backoff().seconds(), 20);
  EXPECT_EQ(made_.retry_policy().maximum_backoff().seconds(), 40);
}

TEST_P(GoogleTest, ListsComeInPages) {
  for (const char* id : {"aaa", "bbb", "ccc"}) ASSERT_TRUE(MakeTopic(id).ok());
  pubsub::ListTopicsRequest request;
  pubsub::ListTopicsResponse response;
  request.set_project("projects/test");
  request.set_page_size(2);
  ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::ListTopics, request, &response).ok());
  EXPECT_EQ(response.topics_size(), 2);
  request.set_page_token(response.next_page_token());
  response.Clear();
  ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::ListTopics, request, &response).ok());
  ASSERT_EQ(response.topics_size(), 1);
  EXPECT_EQ(response.topics(0).name(), TopicPath("ccc"));
  EXPECT_EQ(response.next_page_token(), "");
  request.set_page_token("forged");
  EXPECT_EQ(
      CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::ListTopics, request, &response)),
      "INVALID_ARGUMENT/INVALID_PAGE");
}

TEST_P(GoogleTest, WhatThisServerDoesNotDoIsRefusedAndNotStored) {
  pubsub::Topic topic;
  topic.set_name(TopicPath("orders"));
  topic.set_kms_key_name("key");
  EXPECT_EQ(CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::CreateTopic, topic, &topic)),
            "INVALID_ARGUMENT/UNSUPPORTED");
  MakeBoth();
  pubsub::Subscription wanted;
  wanted.mutable_bigquery_config()->set_table("table");
  EXPECT_EQ(CodeAndReason(Update("bigquery_config", wanted)), "INVALID_ARGUMENT/UNSUPPORTED");
}

// The texts that were recorded from the real service, one by one.
TEST_P(GoogleTest, ErrorsHaveTheServicesTexts) {
  MakeBoth();
  const auto text = [](const grpc::Status& status) { return status.error_message(); };
  EXPECT_EQ(text(MakeTopic("orders")), "Resource already exists in the project (resource=orders).");
  EXPECT_EQ(
      text(MakeTopic("x")),
      "Invalid resource name given (name=projects/test/topics/x). Refer to "
      "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.");
  pubsub::PublishRequest publish;
  pubsub::PublishResponse published;
  publish.set_topic(TopicPath("orders"));
  const auto publishes = [&] {
    return text(Call(*publisher_, &pubsub::Publisher::Stub::Publish, publish, &published));
  };
  EXPECT_EQ(publishes(),
            "The value for message_count is too small. You passed 0 in the request, but the "
            "minimum value is 1.");
  for (int i = 0; i < 1100; ++i) publish.add_messages()->set_data("x");
  EXPECT_EQ(publishes(),
            "The value for message_count is too large. You passed 1100 in the request, but the "
            "maximum value is 1000.");
  publish.clear_messages();
  publish.add_messages()->set_data(std::string(10'000'000, 'x'));
  EXPECT_EQ(publishes(), "The value for request_size is too large. You passed " +
                             std::to_string(publish.ByteSizeLong()) +
                             " in the request, but the maximum value is 10000000.");
  publish.set_topic(TopicPath("none"));
  publish.clear_messages();
  publish.add_messages()->set_data("x");
  EXPECT_EQ(publishes(), "Resource not found (resource=none).");
  EXPECT_EQ(text(ModifyAckDeadline({"x"}, 601)),
            "Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 0 and "
            "600 seconds.");
  EXPECT_EQ(text(Acknowledge({})), "You have not specified an ack ID in the request.");
  EXPECT_EQ(text(Acknowledge({"x"})),
            "You have passed an invalid ack ID to the service (ack_id=x).");
  pubsub::PullRequest pull;
  pubsub::PullResponse pulled;
  pull.set_subscription(SubscriptionPath("orders"));
  EXPECT_EQ(text(Call(*subscriber_, &pubsub::Subscriber::Stub::Pull, pull, &pulled)),
            "You have passed an invalid argument to the service (argument=max_messages).");
  EXPECT_EQ(text(Update("", {})),
            "The update_mask in the UpdateSubscriptionRequest must be set, and must contain a "
            "non-empty paths list.");
  EXPECT_EQ(text(Update("filter", {})),
            "Invalid update_mask provided in the UpdateSubscriptionRequest: the 'filter' field in "
            "the Subscription is not "
            "mutable.");
  EXPECT_EQ(text(Update("pushConfig", {})),
            "Invalid update_mask provided in the UpdateSubscriptionRequest: pushConfig is not a "
            "known Subscription field. "
            "Note that field paths must be of the form 'push_config' rather than 'pushConfig'.");
  pubsub::Subscription wanted;
  wanted.mutable_message_retention_duration()->set_seconds(599);
  EXPECT_EQ(text(Update("message_retention_duration", wanted)),
            "The value for message retention duration is out of bounds. You passed 9m59s in the "
            "request, but the value must "
            "be between 10m and 744h.");
  wanted.mutable_expiration_policy()->mutable_ttl()->set_seconds(3600);
  EXPECT_EQ(text(Update("expiration_policy", wanted)),
            "The value for expiration duration is too small. You passed 1h in the request, but the "
            "minimum value is 24h.");
}

SLUICE_OVER_EVERY_STORE(GoogleTest);

}  // namespace
}  // namespace sluice::server
