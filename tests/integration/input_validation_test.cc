// What clients may not send: every limit at its edge and one past it, and what is no request at
// all. Each refusal is known by its code and its reason, names the field, and leaves the server as
// it was.
#include <fstream>
#include <functional>
#include <string>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"

namespace sluice::server {
namespace {

class InputValidation : public ServerTest {
 protected:
  void SetUp() override {
    Start();
    CreateBoth("orders");
  }

  using Fill = std::function<void(v1::PublishBatchRequest*)>;
  std::string Publish(const Fill& fill) {
    v1::PublishBatchRequest request;
    v1::PublishBatchResponse response;
    request.set_topic(TopicPath("orders"));
    fill(&request);
    last_ = client_->PublishBatch(request, &response);
    return CodeAndReason(last_);
  }
  // One message with data, changed by `change`.
  std::string PublishOne(const std::function<void(v1::Message*)>& change) {
    return Publish([&](v1::PublishBatchRequest* request) {
      v1::Message* message = request->add_messages();
      message->set_data("x");
      change(message);
    });
  }
  // What ends a Subscribe stream that sends these requests.
  std::string Subscribe(const std::vector<v1::SubscribeRequest>& requests) {
    SubscribeStream stream(*client_);
    for (const auto& request : requests) stream.Send(request);
    last_ = stream.End();
    return CodeAndReason(last_);
  }
  v1::SubscribeRequest Opening() {
    v1::SubscribeRequest request;
    request.set_subscription(SubscriptionPath("orders"));
    return request;
  }
  std::string CreateSubscription(const std::function<void(v1::Subscription*)>& change) {
    v1::Subscription subscription;
    subscription.set_name(SubscriptionPath("another"));
    subscription.set_topic(TopicPath("orders"));
    change(&subscription);
    last_ = client_->CreateSubscription(subscription);
    if (last_.ok()) client_->DeleteSubscription("another");
    return CodeAndReason(last_);
  }
  std::string CreateTopic(const std::function<void(v1::Topic*)>& change) {
    v1::Topic topic;
    topic.set_name(TopicPath("another"));
    change(&topic);
    last_ = client_->CreateTopic(topic);
    if (last_.ok()) client_->DeleteTopic("another");
    return CodeAndReason(last_);
  }
  std::string Field() const {
    return InfoOf(last_).metadata().count("field") ? InfoOf(last_).metadata().at("field") : "";
  }

  // Whether the server still does its work.
  void ExpectServing() {
    const auto before = client_->Stats("orders").backlog_messages();
    client_->Publish("orders", {"still here"});
    EXPECT_EQ(client_->Stats("orders").backlog_messages(), before + 1);
  }

  grpc::Status last_;
};

TEST_F(InputValidation, MessagesPerRequest) {
  const auto messages = [](int count) {
    return [count](v1::PublishBatchRequest* request) {
      for (int i = 0; i < count; ++i) request->add_messages()->set_data("x");
    };
  };
  EXPECT_EQ(Publish(messages(0)), "INVALID_ARGUMENT/NO_MESSAGES");
  EXPECT_EQ(Publish(messages(1000)), "OK");
  EXPECT_EQ(Publish(messages(1001)), "INVALID_ARGUMENT/TOO_MANY_MESSAGES");
  EXPECT_EQ(Field(), "messages");
  EXPECT_EQ(InfoOf(last_).metadata().at("limit"), "1000");
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 1000);
}

TEST_F(InputValidation, BytesPerRequest) {
  // A message of one field: its tag, 4 bytes of length, the data.
  EXPECT_EQ(PublishOne([](auto* m) { m->set_data(std::string(10'000'000 - 5, 'x')); }), "OK");
  EXPECT_EQ(PublishOne([](auto* m) { m->set_data(std::string(10'000'000 - 4, 'x')); }),
            "INVALID_ARGUMENT/REQUEST_TOO_LARGE");
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 1);
  ExpectServing();
}

TEST_F(InputValidation, EmptyMessage) {
  EXPECT_EQ(PublishOne([](auto* m) { m->clear_data(); }), "INVALID_ARGUMENT/EMPTY_MESSAGE");
  EXPECT_EQ(PublishOne([](auto* m) {
              m->clear_data();
              (*m->mutable_attributes())["k"] = "";
            }),
            "OK");
}

TEST_F(InputValidation, Attributes) {
  const auto with = [](int count) {
    return [count](v1::Message* m) {
      for (int i = 0; i < count; ++i) (*m->mutable_attributes())["k" + std::to_string(i)] = "v";
    };
  };
  EXPECT_EQ(PublishOne(with(100)), "OK");
  EXPECT_EQ(PublishOne(with(101)), "INVALID_ARGUMENT/TOO_MANY_ATTRIBUTES");
  const auto pair = [](const std::string& key, const std::string& value) {
    return [=](v1::Message* m) { (*m->mutable_attributes())[key] = value; };
  };
  EXPECT_EQ(PublishOne(pair(std::string(256, 'k'), "v")), "OK");
  EXPECT_EQ(PublishOne(pair(std::string(257, 'k'), "v")), "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
  EXPECT_EQ(PublishOne(pair("k", std::string(1024, 'v'))), "OK");
  EXPECT_EQ(PublishOne(pair("k", std::string(1025, 'v'))), "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
  EXPECT_EQ(PublishOne(pair("", "v")), "INVALID_ARGUMENT/INVALID_ATTRIBUTE");
}

TEST_F(InputValidation, OrderingKeyAndPriority) {
  EXPECT_EQ(PublishOne([](auto* m) { m->set_ordering_key(std::string(1024, 'k')); }), "OK");
  EXPECT_EQ(PublishOne([](auto* m) { m->set_ordering_key(std::string(1025, 'k')); }),
            "INVALID_ARGUMENT/ORDERING_KEY_TOO_LONG");
  EXPECT_EQ(PublishOne([](auto* m) { m->set_ordering_key("\xff\xfe"); }),
            "INVALID_ARGUMENT/INVALID_UTF8");
  EXPECT_EQ(PublishOne([](auto* m) { m->set_priority(9); }), "OK");
  EXPECT_EQ(PublishOne([](auto* m) { m->set_priority(10); }), "INVALID_ARGUMENT/INVALID_PRIORITY");
}

TEST_F(InputValidation, Names) {
  for (const std::string& id :
       {std::string("abc"), "A" + std::string(254, 'x'), std::string("a.b_c~d+e%f-1")}) {
    EXPECT_EQ(CreateTopic([&](auto* t) { t->set_name(TopicPath(id)); }), "OK") << id;
    client_->DeleteTopic(id);
  }
  for (const std::string& id :
       {std::string(), std::string("ab"), std::string(256, 'x'), std::string("1abc"),
        std::string("googtopic"), std::string("a b c"), std::string("a/b/c")}) {
    EXPECT_EQ(CreateTopic([&](auto* t) { t->set_name(TopicPath(id)); }),
              "INVALID_ARGUMENT/INVALID_NAME")
        << id;
    EXPECT_EQ(Field(), "topic.name");
  }
  EXPECT_EQ(CreateTopic([](auto* t) { t->set_name("orders"); }), "INVALID_ARGUMENT/INVALID_NAME");
  EXPECT_EQ(CreateTopic([](auto* t) { t->set_name(SubscriptionPath("orders")); }),
            "INVALID_ARGUMENT/INVALID_NAME");
}

TEST_F(InputValidation, AckDeadline) {
  const auto deadline = [](int seconds) {
    return [seconds](v1::Subscription* s) { s->set_ack_deadline_seconds(seconds); };
  };
  for (const int good : {0, 10, 600}) EXPECT_EQ(CreateSubscription(deadline(good)), "OK") << good;
  for (const int bad : {-1, 9, 601}) {
    EXPECT_EQ(CreateSubscription(deadline(bad)), "INVALID_ARGUMENT/INVALID_ACK_DEADLINE") << bad;
  }
}

TEST_F(InputValidation, Filters) {
  const auto with_filter = [this](const std::string& filter) {
    return CreateSubscription([&](v1::Subscription* s) { s->set_filter(filter); });
  };
  EXPECT_EQ(with_filter("attributes:" + std::string(245, 'k')), "OK");
  EXPECT_EQ(with_filter("attributes:" + std::string(246, 'k')), "INVALID_ARGUMENT/INVALID_FILTER");
  EXPECT_EQ(with_filter("attributes.colour == \"red\""), "INVALID_ARGUMENT/INVALID_FILTER");
  EXPECT_EQ(Field(), "filter");
  EXPECT_THAT(last_.error_message(), testing::HasSubstr("at character 20"));
  v1::SubscribeRequest request;
  request.mutable_ephemeral()->set_topic(TopicPath("orders"));
  request.mutable_ephemeral()->set_filter("colour");
  EXPECT_EQ(Subscribe({request}), "INVALID_ARGUMENT/INVALID_FILTER");
}

TEST_F(InputValidation, RetryAndDeadLetterPolicies) {
  ASSERT_TRUE(client_->CreateTopic("graveyard").ok());
  const auto with_backoff = [this](int64_t minimum, int64_t maximum) {
    return CreateSubscription([&](v1::Subscription* s) {
      s->mutable_retry_policy()->mutable_minimum_backoff()->set_seconds(minimum);
      s->mutable_retry_policy()->mutable_maximum_backoff()->set_seconds(maximum);
    });
  };
  EXPECT_EQ(with_backoff(0, 600), "OK");
  EXPECT_EQ(with_backoff(0, 601), "INVALID_ARGUMENT/INVALID_RETRY_POLICY");
  EXPECT_EQ(Field(), "subscription.retry_policy.maximum_backoff");
  EXPECT_EQ(with_backoff(-1, 600), "INVALID_ARGUMENT/INVALID_RETRY_POLICY");
  EXPECT_EQ(with_backoff(20, 10), "INVALID_ARGUMENT/INVALID_RETRY_POLICY");
  const auto with_dead_letter = [this](const std::string& topic, int32_t attempts) {
    return CreateSubscription([&](v1::Subscription* s) {
      s->mutable_dead_letter_policy()->set_dead_letter_topic(topic);
      s->mutable_dead_letter_policy()->set_max_delivery_attempts(attempts);
    });
  };
  EXPECT_EQ(with_dead_letter(TopicPath("graveyard"), 0), "OK");
  EXPECT_EQ(with_dead_letter(TopicPath("graveyard"), 5), "OK");
  EXPECT_EQ(with_dead_letter(TopicPath("graveyard"), 100), "OK");
  EXPECT_EQ(with_dead_letter(TopicPath("graveyard"), 4),
            "INVALID_ARGUMENT/INVALID_DEAD_LETTER_POLICY");
  EXPECT_EQ(Field(), "subscription.dead_letter_policy.max_delivery_attempts");
  EXPECT_EQ(with_dead_letter(TopicPath("graveyard"), 101),
            "INVALID_ARGUMENT/INVALID_DEAD_LETTER_POLICY");
  EXPECT_EQ(with_dead_letter(TopicPath("graveyard"), -1),
            "INVALID_ARGUMENT/INVALID_DEAD_LETTER_POLICY");
  EXPECT_EQ(with_dead_letter(TopicPath("orders"), 5),
            "INVALID_ARGUMENT/INVALID_DEAD_LETTER_POLICY");
  EXPECT_EQ(with_dead_letter(TopicPath("nowhere"), 5), "NOT_FOUND/TOPIC_NOT_FOUND");
  EXPECT_EQ(with_dead_letter("graveyard", 5), "INVALID_ARGUMENT/INVALID_NAME");
}

TEST_F(InputValidation, DeliveryBreakerPolicies) {
  const auto with_breaker = [this](const std::function<void(v1::DeliveryBreakerPolicy*)>& set) {
    return CreateSubscription(
        [&](v1::Subscription* s) { set(s->mutable_delivery_breaker_policy()); });
  };
  EXPECT_EQ(with_breaker([](auto*) {}), "OK");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->set_disabled(true); }), "OK");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->set_failure_ratio(1); }), "OK");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->set_failure_ratio(1.01); }),
            "INVALID_ARGUMENT/INVALID_BREAKER_POLICY");
  EXPECT_EQ(Field(), "subscription.delivery_breaker_policy.failure_ratio");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->set_failure_ratio(-0.5); }),
            "INVALID_ARGUMENT/INVALID_BREAKER_POLICY");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->set_minimum_deliveries(1'000'000); }), "OK");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->set_minimum_deliveries(-1); }),
            "INVALID_ARGUMENT/INVALID_BREAKER_POLICY");
  EXPECT_EQ(Field(), "subscription.delivery_breaker_policy.minimum_deliveries");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->set_probes(10'001); }),
            "INVALID_ARGUMENT/INVALID_BREAKER_POLICY");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->mutable_window(); }),
            "INVALID_ARGUMENT/INVALID_BREAKER_POLICY");
  EXPECT_EQ(Field(), "subscription.delivery_breaker_policy.window");
  EXPECT_EQ(with_breaker([](auto* breaker) { breaker->mutable_open_time()->set_seconds(61); }),
            "INVALID_ARGUMENT/INVALID_BREAKER_POLICY");
  EXPECT_EQ(Field(), "subscription.delivery_breaker_policy.open_time");
}

TEST_F(InputValidation, Producers) {
  const auto publish = [this](const std::string& first, const std::string& second) {
    PublishStream stream(*client_);
    v1::PublishRequest request;
    request.set_topic(TopicPath("orders"));
    for (const std::string& id : {first, second}) {
      request.set_producer_id(id);
      request.set_sequence(request.sequence() + 1);
      request.add_messages()->set_data("x");
      stream.Send(request);
    }
    stream.Close();
    last_ = stream.End();
    return CodeAndReason(last_);
  };
  EXPECT_EQ(publish(std::string(255, 'p'), ""), "OK");
  EXPECT_EQ(publish(std::string(256, 'p'), ""), "INVALID_ARGUMENT/INVALID_PRODUCER");
  EXPECT_EQ(Field(), "producer_id");
  EXPECT_EQ(publish("one", "one"), "OK");
  EXPECT_EQ(publish("one", "other"), "INVALID_ARGUMENT/TARGET_CHANGED");
}

TEST_F(InputValidation, WhatIsMissingAndWhatIsThereAlready) {
  EXPECT_EQ(Publish([](auto* r) {
              r->set_topic(TopicPath("nobody"));
              r->add_messages()->set_data("x");
            }),
            "NOT_FOUND/TOPIC_NOT_FOUND");
  EXPECT_EQ(CreateSubscription([](auto* s) { s->set_topic(TopicPath("nobody")); }),
            "NOT_FOUND/TOPIC_NOT_FOUND");
  v1::SubscribeRequest nobody;
  nobody.set_subscription(SubscriptionPath("nobody"));
  EXPECT_EQ(Subscribe({nobody}), "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
  EXPECT_EQ(CodeAndReason(client_->CreateTopic("orders")), "ALREADY_EXISTS/TOPIC_EXISTS");
  EXPECT_EQ(CodeAndReason(client_->CreateSubscription("orders", "orders")),
            "ALREADY_EXISTS/SUBSCRIPTION_EXISTS");
  EXPECT_EQ(CodeAndReason(client_->DeleteTopic("nobody")), "NOT_FOUND/TOPIC_NOT_FOUND");
  EXPECT_EQ(CodeAndReason(client_->DeleteSubscription("nobody")),
            "NOT_FOUND/SUBSCRIPTION_NOT_FOUND");
}

TEST_F(InputValidation, StreamTargets) {
  EXPECT_EQ(Subscribe({{}}), "INVALID_ARGUMENT/MISSING_TARGET");
  client_->CreateSubscription("second", "orders");
  v1::SubscribeRequest second;
  second.set_subscription(SubscriptionPath("second"));
  EXPECT_EQ(Subscribe({Opening(), second}), "INVALID_ARGUMENT/TARGET_CHANGED");
}

TEST_F(InputValidation, Credit) {
  for (const int64_t messages : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
    v1::SubscribeRequest request = Opening();
    *request.mutable_credit() = SubscribeStream::CreditOf(messages);
    EXPECT_EQ(Subscribe({request}), "INVALID_ARGUMENT/INVALID_CREDIT") << messages;
  }
  v1::SubscribeRequest bytes = Opening();
  *bytes.mutable_credit() = SubscribeStream::CreditOf(1, -1);
  EXPECT_EQ(Subscribe({bytes}), "INVALID_ARGUMENT/INVALID_CREDIT");
}

TEST_F(InputValidation, DelaysAndExtensions) {
  v1::SubscribeRequest nack = Opening();
  nack.add_nacks()->mutable_range()->set_first(1);
  nack.mutable_nacks(0)->mutable_delay()->set_seconds(601);
  EXPECT_EQ(Subscribe({nack}), "INVALID_ARGUMENT/INVALID_DELAY");
  v1::SubscribeRequest extend = Opening();
  extend.add_extensions()->mutable_range()->set_first(1);
  extend.mutable_extensions(0)->set_ack_deadline_seconds(601);
  EXPECT_EQ(Subscribe({extend}), "INVALID_ARGUMENT/INVALID_ACK_DEADLINE");
}

TEST_F(InputValidation, GarbageOnThePort) {
  Exchange(server_->grpc_port(), std::string(5000, '\xfe'));
  Exchange(server_->grpc_port(), "GET / HTTP/1.1\r\nHost: sluice\r\n\r\n");
  Exchange(server_->http_port(), std::string(5000, '\xfe') + "\r\n\r\n");
  ExpectServing();
}

TEST_F(InputValidation, DataFolders) {
  const auto reason_of = [](const Options& options) {
    const auto started = Server::Start(options);
    return started.ok()
               ? "OK"
               : std::string(ReasonName(ReasonOf(started.status()).value_or(Reason::kInternal)));
  };
  Options options = options_;
  options.store = StoreKind::kLocal;
  options.data_dir = folder_.path() + "/file/data";
  std::ofstream(folder_.path() + "/file") << "no folder";
  EXPECT_EQ(reason_of(options), "DATA_FOLDER_UNUSABLE");
  options.data_dir = folder_.path() + "/held";
  const auto holder = Server::Start(options);
  ASSERT_TRUE(holder.ok());
  EXPECT_EQ(reason_of(options), "DATA_FOLDER_IN_USE");
}

}  // namespace
}  // namespace sluice::server
