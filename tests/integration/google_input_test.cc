// google.pubsub.v1: what is at a limit is taken, what is one past it is refused with the right code
// and reason, and nothing is lost by it.
#include <functional>

#include "gmock/gmock.h"
#include "tests/integration/google_fixture.h"
#include "tests/integration/raw.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class GoogleInputTest : public GoogleTest {
 protected:
  using Shape = std::function<void(pubsub::Subscription*)>;

  void SetUp() override {
    GoogleTest::SetUp();
    MakeBoth();
  }

  // The code and reason with which a new subscription of that shape is refused; "OK" when it is
  // made.
  std::string Making(const Shape& shape) {
    pubsub::Subscription subscription;
    subscription.set_name(SubscriptionPath("made-" + std::to_string(++made_count_)));
    subscription.set_topic(TopicPath("orders"));
    shape(&subscription);
    return CodeAndReason(
        Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSubscription, subscription, &made_));
  }
  std::string Publishing(const std::function<void(pubsub::PubsubMessage*)>& shape) {
    pubsub::PublishRequest request;
    request.set_topic(TopicPath("orders"));
    request.add_messages()->set_data("x");
    shape(request.mutable_messages(0));
    return Publishing(request);
  }
  std::string Publishing(const pubsub::PublishRequest& request) {
    pubsub::PublishResponse response;
    return CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response));
  }
  std::string Masking(
      const std::string& path, const Shape& shape = [](auto*) {}) {
    pubsub::Subscription wanted;
    shape(&wanted);
    return CodeAndReason(Update(path, wanted));
  }
  // How a stream ends that sends these requests.
  std::string Streaming(const std::vector<pubsub::StreamingPullRequest>& requests) {
    grpc::ClientContext context;
    Client::SetDeadline(&context);
    auto stream = subscriber_->StreamingPull(&context);
    for (const auto& request : requests) stream->Write(request);
    pubsub::StreamingPullResponse response;
    while (stream->Read(&response)) {
    }
    return CodeAndReason(stream->Finish());
  }
  static pubsub::StreamingPullRequest Opening(int deadline = 10) {
    pubsub::StreamingPullRequest request;
    request.set_subscription(SubscriptionPath("orders"));
    request.set_stream_ack_deadline_seconds(deadline);
    return request;
  }

  int made_count_ = 0;
};

constexpr char kOk[] = "OK";

TEST_P(GoogleInputTest, NamesHaveBounds) {
  const auto make = [&](const std::string& id) { return CodeAndReason(MakeTopic(id)); };
  EXPECT_EQ(make("abc"), kOk);
  EXPECT_EQ(make("ab"), "INVALID_ARGUMENT/INVALID_NAME");
  EXPECT_EQ(make(std::string(255, 'a')), kOk);
  EXPECT_EQ(make(std::string(256, 'a')), "INVALID_ARGUMENT/INVALID_NAME");
  EXPECT_EQ(make("goog-topic"), "INVALID_ARGUMENT/INVALID_NAME");
  EXPECT_EQ(make("gopher-topic"), kOk);
  EXPECT_EQ(make("1abc"), "INVALID_ARGUMENT/INVALID_NAME");
  EXPECT_EQ(make("a/b/c"), "INVALID_ARGUMENT/INVALID_NAME");
}

TEST_P(GoogleInputTest, ProjectsMayBeNumbersShortOrWithinADomain) {
  for (const std::string project :
       {"projects/123456789012", "projects/example.com:my-project", "projects/p"}) {
    pubsub::Topic topic;
    topic.set_name(project + "/topics/orders");
    EXPECT_EQ(
        CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::CreateTopic, topic, &topic)), kOk)
        << project;
    pubsub::Subscription subscription;
    subscription.set_topic(topic.name());
    EXPECT_EQ(CodeAndReason(Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSubscription,
                                 subscription, &made_)),
              kOk);
    pubsub::ListTopicsRequest request;
    pubsub::ListTopicsResponse response;
    request.set_project(project);
    EXPECT_EQ(
        CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::ListTopics, request, &response)),
        kOk)
        << project;
    EXPECT_EQ(response.topics_size(), 1) << project;
  }
}

TEST_P(GoogleInputTest, RequestsToPublishHaveBounds) {
  pubsub::PublishRequest request;
  request.set_topic(TopicPath("orders"));
  for (int i = 0; i < 1000; ++i) request.add_messages()->set_data("x");
  EXPECT_EQ(Publishing(request), kOk);
  request.add_messages()->set_data("x");
  EXPECT_EQ(Publishing(request), "INVALID_ARGUMENT/TOO_MANY_MESSAGES");
  request.clear_messages();
  request.add_messages()->set_data(std::string(9'999'000, 'x'));
  request.mutable_messages(0)->mutable_data()->append(10'000'000 - request.ByteSizeLong(), 'x');
  ASSERT_EQ(request.ByteSizeLong(), 10'000'000u);
  EXPECT_EQ(Publishing(request), kOk);
  request.mutable_messages(0)->mutable_data()->push_back('x');
  EXPECT_EQ(Publishing(request), "INVALID_ARGUMENT/REQUEST_TOO_LARGE");
}

TEST_P(GoogleInputTest, MessagesHaveBounds) {
  using Message = pubsub::PubsubMessage;
  const auto attributes = [](int count) {
    return [count](Message* message) {
      for (int i = 0; i < count; ++i)
        (*message->mutable_attributes())["key-" + std::to_string(i)] = "value";
    };
  };
  const auto attribute = [](const std::string& key, size_t value) {
    return [key, value](Message* message) {
      (*message->mutable_attributes())[key] = std::string(value, 'v');
    };
  };
  const auto key = [](size_t bytes) {
    return [bytes](Message* message) { message->set_ordering_key(std::string(bytes, 'k')); };
  };
  EXPECT_EQ(Publishing(attributes(100)), kOk);
  EXPECT_EQ(Publishing(attributes(101)), "INVALID_ARGUMENT/TOO_MANY_ATTRIBUTES");
  EXPECT_EQ(Publishing(attribute(std::string(256, 'k'), 1024)), kOk);
  EXPECT_EQ(Publishing(attribute(std::string(257, 'k'), 1)), "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
  EXPECT_EQ(Publishing(attribute("k", 1025)), "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
  EXPECT_EQ(Publishing(attribute("", 1)), "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
  EXPECT_EQ(Publishing(attribute("goog-key", 1)), "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
  EXPECT_EQ(Publishing(attribute("googclient_x-cloud-trace-context", 1)),
            "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
  EXPECT_EQ(Publishing(attribute("googclient_traceparent", 1)), kOk);
  EXPECT_EQ(Publishing(key(1024)), kOk);
  EXPECT_EQ(Publishing(key(1025)), "INVALID_ARGUMENT/ORDERING_KEY_TOO_LONG");
  EXPECT_EQ(Publishing([](Message* message) { message->clear_data(); }),
            "INVALID_ARGUMENT/EMPTY_MESSAGE");
}

TEST_P(GoogleInputTest, SubscriptionsHaveBounds) {
  const auto deadline = [](int s) {
    return [s](pubsub::Subscription* out) { out->set_ack_deadline_seconds(s); };
  };
  const auto retention = [](int64_t s) {
    return [s](pubsub::Subscription* out) {
      out->mutable_message_retention_duration()->set_seconds(s);
    };
  };
  const auto ttl = [](int64_t s) {
    return [s](pubsub::Subscription* out) {
      out->mutable_expiration_policy()->mutable_ttl()->set_seconds(s);
    };
  };
  const auto backoff = [](int64_t least, int64_t most) {
    return [=](pubsub::Subscription* out) {
      out->mutable_retry_policy()->mutable_minimum_backoff()->set_seconds(least);
      out->mutable_retry_policy()->mutable_maximum_backoff()->set_seconds(most);
    };
  };
  const auto attempts = [](int n) {
    return [n](pubsub::Subscription* out) {
      out->mutable_dead_letter_policy()->set_dead_letter_topic(TopicPath("graveyard"));
      out->mutable_dead_letter_policy()->set_max_delivery_attempts(n);
    };
  };
  const auto filter = [](size_t bytes) {
    const std::string start = "attributes.k = \"";
    return [=](pubsub::Subscription* out) {
      out->set_filter(start + std::string(bytes - start.size() - 1, 'v') + "\"");
    };
  };
  const auto labels = [](int count) {
    return [count](pubsub::Subscription* out) {
      for (int i = 0; i < count; ++i)
        (*out->mutable_labels())["label-" + std::to_string(i)] = "value";
    };
  };
  ASSERT_TRUE(MakeTopic("graveyard").ok());
  constexpr int64_t kDay = 86'400;
  const struct {
    std::vector<Shape> taken;
    std::vector<Shape> refused;
    const char* reason;
  } kCases[] = {
      {{deadline(0), deadline(10), deadline(600)},
       {deadline(9), deadline(601), deadline(-1)},
       "INVALID_ACK_DEADLINE"},
      {{retention(600), retention(31 * kDay)},
       {retention(599), retention(31 * kDay + 1), retention(-1)},
       "INVALID_RETENTION"},
      {{ttl(kDay), ttl(3650 * kDay)}, {ttl(kDay - 1), ttl(-1)}, "INVALID_RETENTION"},
      {{backoff(0, 0), backoff(600, 600)},
       {backoff(-1, 1), backoff(0, 601), backoff(2, 1)},
       "INVALID_RETRY_POLICY"},
      {{attempts(0), attempts(5), attempts(100)},
       {attempts(4), attempts(101), attempts(-1)},
       "INVALID_DEAD_LETTER_POLICY"},
      {{filter(256)}, {filter(257)}, "INVALID_FILTER"},
      {{labels(64)}, {labels(65)}, "INVALID_LABEL"},
  };
  for (const auto& test : kCases) {
    for (const Shape& shape : test.taken)
      EXPECT_EQ(Making(shape), kOk) << test.reason << made_.ShortDebugString();
    for (const Shape& shape : test.refused)
      EXPECT_EQ(Making(shape), std::string("INVALID_ARGUMENT/") + test.reason);
  }
}

TEST_P(GoogleInputTest, RequestsToSettleAndToPullHaveBounds) {
  Publish({"a"});
  const std::string id = IdsOf(Pull(1)).at(0);
  EXPECT_TRUE(ModifyAckDeadline({id}, 600).ok());
  EXPECT_EQ(CodeAndReason(ModifyAckDeadline({id}, 601)), "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
  EXPECT_EQ(CodeAndReason(ModifyAckDeadline({id}, -1)), "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
  // 42 bytes each, and 4 for what stands before.
  const std::string head = "\x0a" +
                           std::string(1, static_cast<char>(SubscriptionPath("orders").size())) +
                           SubscriptionPath("orders");
  std::string request = head;
  while (request.size() + 2 * (id.size() + 2) <= 524'288)
    request += "\x12" + std::string(1, static_cast<char>(id.size())) + id;
  // An unknown field makes it as long as it may be.
  const auto filled = [&](size_t bytes) {
    const size_t filler = bytes - request.size() - 3;
    return request + "\x7a" + std::string(1, static_cast<char>((filler & 0x7f) | 0x80)) +
           std::string(1, static_cast<char>(filler >> 7)) + std::string(filler, 'x');
  };
  std::string response;
  const std::string method = "/google.pubsub.v1.Subscriber/Acknowledge";
  EXPECT_EQ(CodeAndReason(RawCall(*client_, method, filled(524'289), &response)),
            "INVALID_ARGUMENT/REQUEST_TOO_LARGE");
  EXPECT_EQ(client_->Stats("orders").leased_messages(), 1);
  EXPECT_EQ(CodeAndReason(RawCall(*client_, method, filled(524'288), &response)), kOk);
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 0);
  pubsub::PullRequest pull;
  pubsub::PullResponse pulled;
  pull.set_subscription(SubscriptionPath("orders"));
  pull.set_max_messages(-1);
  EXPECT_EQ(CodeAndReason(Call(*subscriber_, &pubsub::Subscriber::Stub::Pull, pull, &pulled)),
            "INVALID_ARGUMENT/INVALID_REQUEST");
}

TEST_P(GoogleInputTest, BytesThatAreNoRequestAreRefused) {
  std::string response;
  for (const char* method : {"Publisher/Publish", "Subscriber/Pull", "Subscriber/Acknowledge",
                             "Subscriber/ModifyAckDeadline"}) {
    const auto status = RawCall(*client_, std::string("/google.pubsub.v1.") + method,
                                "\x0a\xff garbage", &response);
    EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT/MALFORMED_REQUEST") << method;
  }
}

TEST_P(GoogleInputTest, MasksNameWhatCanBeChanged) {
  constexpr char kBad[] = "INVALID_ARGUMENT/INVALID_UPDATE_MASK";
  for (const char* path :
       {"", "ackDeadlineSeconds", "nonsense", "labels.a", "ack_deadline_seconds.x", "filter",
        "topic", "name", "enable_message_ordering", "detached", "state", "retry_policy.nonsense",
        "*"}) {
    EXPECT_EQ(Masking(path), kBad) << path;
  }
  // All or nothing: the good path before the bad one changes nothing.
  pubsub::UpdateSubscriptionRequest request;
  request.mutable_subscription()->set_name(SubscriptionPath("orders"));
  request.mutable_subscription()->set_ack_deadline_seconds(60);
  request.mutable_update_mask()->add_paths("ack_deadline_seconds");
  request.mutable_update_mask()->add_paths("nonsense");
  EXPECT_EQ(CodeAndReason(
                Call(*subscriber_, &pubsub::Subscriber::Stub::UpdateSubscription, request, &made_)),
            kBad);
  pubsub::GetSubscriptionRequest get;
  get.set_subscription(SubscriptionPath("orders"));
  ASSERT_TRUE(Call(*subscriber_, &pubsub::Subscriber::Stub::GetSubscription, get, &made_).ok());
  EXPECT_EQ(made_.ack_deadline_seconds(), 10);

  pubsub::UpdateTopicRequest topic;
  pubsub::Topic updated;
  topic.mutable_topic()->set_name(TopicPath("orders"));
  for (const char* path : {"name", "messageRetentionDuration", "nonsense"}) {
    topic.mutable_update_mask()->clear_paths();
    topic.mutable_update_mask()->add_paths(path);
    EXPECT_EQ(
        CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::UpdateTopic, topic, &updated)),
        kBad)
        << path;
  }
}

// What a client newer than this server asks for.
void AddUnknownField(google::protobuf::Message* message) {
  message->GetReflection()->MutableUnknownFields(message)->AddVarint(1000, 1);
}

TEST_P(GoogleInputTest, AdministrativeCallsRefuseFieldsThatTheServerDoesNotKnow) {
  constexpr char kUnsupported[] = "INVALID_ARGUMENT/UNSUPPORTED";
  EXPECT_EQ(Making([](auto* s) { AddUnknownField(s); }), kUnsupported);
  EXPECT_EQ(Making([](auto* s) { AddUnknownField(s->mutable_push_config()); }), kUnsupported);
  EXPECT_EQ(Making([](auto* s) {
              AddUnknownField(s->mutable_retry_policy()->mutable_minimum_backoff());
            }),
            kUnsupported);
  EXPECT_EQ(Making([](auto* s) { AddUnknownField(s->mutable_expiration_policy()); }), kUnsupported);
  EXPECT_EQ(Masking("labels", [](auto* s) { AddUnknownField(s); }), kUnsupported);
  EXPECT_EQ(Masking("dead_letter_policy",
                    [](auto* s) { AddUnknownField(s->mutable_dead_letter_policy()); }),
            kUnsupported);
  pubsub::Topic topic;
  topic.set_name(TopicPath("newer"));
  AddUnknownField(&topic);
  EXPECT_EQ(CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::CreateTopic, topic, &topic)),
            kUnsupported);
  pubsub::UpdateTopicRequest update;
  update.mutable_topic()->set_name(TopicPath("orders"));
  update.mutable_update_mask()->add_paths("labels");
  AddUnknownField(&update);
  EXPECT_EQ(CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::UpdateTopic, update, &topic)),
            kUnsupported);
  pubsub::ListTopicsRequest list;
  pubsub::ListTopicsResponse listed;
  list.set_project("projects/test");
  AddUnknownField(&list);
  const grpc::Status status =
      Call(*publisher_, &pubsub::Publisher::Stub::ListTopics, list, &listed);
  EXPECT_EQ(CodeAndReason(status), kUnsupported) << "a filter, say";
  EXPECT_EQ(status.error_message(), "1000: this server does not know a field of this number");
}

TEST_P(GoogleInputTest, PublishingAndPullingGoOnWithoutFieldsThatTheServerDoesNotKnow) {
  pubsub::PublishRequest request;
  request.set_topic(TopicPath("orders"));
  request.add_messages()->set_data("x");
  AddUnknownField(&request);
  EXPECT_EQ(Publishing(request), kOk);
  pubsub::PullRequest pull;
  pubsub::PullResponse pulled;
  pull.set_subscription(SubscriptionPath("orders"));
  pull.set_max_messages(1);
  AddUnknownField(&pull);
  EXPECT_EQ(CodeAndReason(Call(*subscriber_, &pubsub::Subscriber::Stub::Pull, pull, &pulled)), kOk);
  EXPECT_EQ(pulled.received_messages_size(), 1);
}

TEST_P(GoogleInputTest, PageTokensAreOfOneList) {
  for (const char* id : {"aaa", "bbb", "ccc"}) ASSERT_TRUE(MakeTopic(id).ok());
  pubsub::ListTopicsRequest topics;
  pubsub::ListTopicsResponse page;
  topics.set_project("projects/test");
  topics.set_page_size(1);
  ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::ListTopics, topics, &page).ok());
  pubsub::ListSubscriptionsRequest subscriptions;
  pubsub::ListSubscriptionsResponse listed;
  subscriptions.set_project("projects/test");
  const auto list = [&](const std::string& token, int size) {
    subscriptions.set_page_token(token);
    subscriptions.set_page_size(size);
    return CodeAndReason(
        Call(*subscriber_, &pubsub::Subscriber::Stub::ListSubscriptions, subscriptions, &listed));
  };
  EXPECT_EQ(list(page.next_page_token(), 0), "INVALID_ARGUMENT/INVALID_PAGE");
  EXPECT_EQ(list(page.next_page_token() + "x", 0), "INVALID_ARGUMENT/INVALID_PAGE");
  EXPECT_EQ(list("", -1), "INVALID_ARGUMENT/INVALID_PAGE");
  EXPECT_EQ(list("", 1'000'000), kOk);
  // That of another project.
  topics.set_project("projects/other");
  topics.set_page_token(page.next_page_token());
  EXPECT_EQ(CodeAndReason(Call(*publisher_, &pubsub::Publisher::Stub::ListTopics, topics, &page)),
            "INVALID_ARGUMENT/INVALID_PAGE");
}

TEST_P(GoogleInputTest, AckIdsThatWereNeverOfThisSubscriptionSettleNothing) {
  Publish({"a"});
  const std::string good = IdsOf(Pull(1)).at(0);
  std::string forged = good;
  forged[20] = forged[20] == 'A' ? 'B' : 'A';
  for (const std::string& bad : {forged, good.substr(1), good.substr(0, good.size() - 1),
                                 good + "A", std::string(), std::string(10'000, 'A')}) {
    EXPECT_EQ(CodeAndReason(Acknowledge({good, bad})), "INVALID_ARGUMENT/INVALID_ACK_ID") << bad;
    EXPECT_EQ(CodeAndReason(ModifyAckDeadline({bad}, 0)), "INVALID_ARGUMENT/INVALID_ACK_ID") << bad;
  }
  EXPECT_EQ(client_->Stats("orders").leased_messages(), 1);

  // Of one that was deleted and made again under the same name.
  ASSERT_EQ(CodeAndReason(client_->DeleteSubscription("orders")), kOk);
  EXPECT_EQ(CodeAndReason(Acknowledge({good})), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
  ASSERT_EQ(CodeAndReason(client_->CreateSubscription("orders", "orders")), kOk);
  Publish({"b"});
  ASSERT_THAT(DataOf(Pull(1)), ElementsAre("b"));
  EXPECT_EQ(CodeAndReason(Acknowledge({good})), "INVALID_ARGUMENT/INVALID_ACK_ID");
  EXPECT_EQ(client_->Stats("orders").leased_messages(), 1);
}

TEST_P(GoogleInputTest, ExactlyOnceAnswersForEachIdOnceHoweverOftenItIsNamed) {
  ASSERT_EQ(Masking("enable_exactly_once_delivery",
                    [](auto* wanted) { wanted->set_enable_exactly_once_delivery(true); }),
            kOk);
  Publish({"a", "b"});
  const auto ids = IdsOf(Pull(2));
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_TRUE(Acknowledge({ids[1], ids[0], ids[1]}).ok());
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 0);
}

TEST_P(GoogleInputTest, AStreamsRequestsHaveBounds) {
  EXPECT_EQ(Streaming({Opening(9)}), "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
  EXPECT_EQ(Streaming({Opening(601)}), "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
  auto client_id = Opening();
  client_id.set_client_id(std::string(256, 'c'));
  EXPECT_EQ(Streaming({client_id}), "INVALID_ARGUMENT/INVALID_REQUEST");
  auto missing = Opening();
  missing.set_subscription(SubscriptionPath("missing"));
  EXPECT_EQ(Streaming({missing}), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
  // Acknowledgements before it is said of what.
  pubsub::StreamingPullRequest acks;
  acks.add_ack_ids("x");
  EXPECT_EQ(Streaming({acks}), "INVALID_ARGUMENT/INVALID_NAME");

  const auto later = [&](const std::function<void(pubsub::StreamingPullRequest*)>& shape) {
    pubsub::StreamingPullRequest request;
    shape(&request);
    return Streaming({Opening(), request});
  };
  using Request = pubsub::StreamingPullRequest;
  constexpr char kInvalid[] = "INVALID_ARGUMENT/INVALID_REQUEST";
  EXPECT_EQ(later([](Request* r) { r->set_max_outstanding_messages(1); }), kInvalid);
  EXPECT_EQ(later([](Request* r) { r->set_max_outstanding_bytes(1); }), kInvalid);
  EXPECT_EQ(later([](Request* r) { r->set_client_id("other"); }), kInvalid);
  EXPECT_EQ(later([](Request* r) { r->set_protocol_version(1); }), kInvalid);
  EXPECT_EQ(later([](Request* r) { r->set_subscription(SubscriptionPath("orders")); }), kInvalid);
  EXPECT_EQ(later([](Request* r) { r->set_stream_ack_deadline_seconds(601); }),
            "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
  EXPECT_EQ(later([](Request* r) { r->add_ack_ids("never one"); }),
            "INVALID_ARGUMENT/INVALID_ACK_ID");
  EXPECT_EQ(later([](Request* r) { r->add_modify_deadline_ack_ids("x"); }), kInvalid);
  EXPECT_EQ(later([](Request* r) { r->add_modify_deadline_seconds(1); }), kInvalid);
  EXPECT_EQ(later([](Request* r) {
              r->add_modify_deadline_ack_ids("x");
              r->add_modify_deadline_seconds(-1);
            }),
            "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
}

TEST_P(GoogleInputTest, OneBadRequestKeepsTheOthersOfItsConnectionGoing) {
  Publish({"a"});
  PullStream good(*subscriber_);
  EXPECT_EQ(Streaming({Opening(9)}), "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
  const auto response = good.ReadMessages();
  ASSERT_EQ(response.received_messages_size(), 1);
  EXPECT_EQ(response.received_messages(0).message().data(), "a");
  good.Cancel();
}

SLUICE_OVER_EVERY_STORE(GoogleInputTest);

}  // namespace
}  // namespace sluice::server
