// Push subscriptions of google.pubsub.v1, with endpoints that behave and endpoints that do not.
#include <set>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "tests/integration/google_fixture.h"
#include "tests/support/http_endpoint.h"

namespace sluice::server {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

class PushTest : public GoogleTest {
 protected:
  static pubsub::Subscription PushTo(const std::string& url) {
    pubsub::Subscription subscription;
    subscription.mutable_push_config()->set_push_endpoint(url);
    return subscription;
  }
  grpc::Status ModifyPush(const std::string& url) {
    pubsub::ModifyPushConfigRequest request;
    google::protobuf::Empty nothing;
    request.set_subscription(SubscriptionPath("orders"));
    request.mutable_push_config()->set_push_endpoint(url);
    return Call(*subscriber_, &pubsub::Subscriber::Stub::ModifyPushConfig, request, &nothing);
  }
  grpc::Status TryToMake(const pubsub::Subscription& wanted) {
    pubsub::Subscription subscription = wanted;
    subscription.set_name(SubscriptionPath("another"));
    subscription.set_topic(TopicPath("orders"));
    return Call(*subscriber_, &pubsub::Subscriber::Stub::CreateSubscription, subscription,
                &subscription);
  }
  // Waits until it is true; a test that waits for a minute fails.
  template <class Condition>
  static bool Eventually(Condition&& condition) {
    for (const absl::Time end = absl::Now() + absl::Minutes(1); absl::Now() < end;
         absl::SleepFor(absl::Milliseconds(5))) {
      if (condition()) return true;
    }
    return false;
  }
  bool AllAcknowledged(const std::string& id = "orders") {
    return Eventually([&] { return client_->Stats(id).backlog_messages() == 0; });
  }
  static std::string DataOf(const HttpEndpoint::Request& request) {
    std::string data;
    absl::Base64Unescape(nlohmann::json::parse(request.body)["message"]["data"].get<std::string>(),
                         &data);
    return data;
  }
  static std::vector<std::string> AllDataOf(const HttpEndpoint& endpoint) {
    std::vector<std::string> all;
    for (const auto& request : endpoint.requests()) all.push_back(DataOf(request));
    return all;
  }
};

TEST_P(PushTest, AMessageComesAsJsonWithAllThatItHas) {
  HttpEndpoint endpoint(204);
  auto ordered = PushTo(endpoint.url("/push?token=1"));
  ordered.set_enable_message_ordering(true);
  MakeBoth(ordered);
  EXPECT_EQ(made_.push_config().push_endpoint(), endpoint.url("/push?token=1"));
  pubsub::PublishRequest request;
  pubsub::PublishResponse response;
  request.set_topic(TopicPath("orders"));
  auto& message = *request.add_messages();
  message.set_data(std::string("\0\xff data", 7));
  message.set_ordering_key("key");
  (*message.mutable_attributes())["colour"] = "gr\"ün";
  ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response).ok());
  ASSERT_TRUE(AllAcknowledged());
  const auto received = endpoint.requests().at(0);
  EXPECT_EQ(received.path, "/push?token=1");
  EXPECT_EQ(received.headers.at("content-type"), "application/json");
  const auto body = nlohmann::json::parse(received.body);
  EXPECT_EQ(DataOf(received), message.data());
  EXPECT_EQ(body["subscription"], SubscriptionPath("orders"));
  EXPECT_FALSE(body.contains("deliveryAttempt"));
  const auto inner = body["message"];
  EXPECT_EQ(inner["attributes"], nlohmann::json({{"colour", "gr\"ün"}}));
  EXPECT_EQ(inner["orderingKey"], "key");
  EXPECT_EQ(inner["messageId"], response.message_ids(0));
  EXPECT_EQ(inner["message_id"], response.message_ids(0));
  EXPECT_THAT(inner["publishTime"].get<std::string>(),
              testing::MatchesRegex("20..-..-..T..:..:..\\....Z"));
  EXPECT_EQ(inner["publish_time"], inner["publishTime"]);
}

TEST_P(PushTest, WithoutTheWrapperTheBodyIsTheDataAndTheRestIsInHeaders) {
  HttpEndpoint endpoint(204);
  auto unwrapped = PushTo(endpoint.url());
  unwrapped.mutable_push_config()->mutable_no_wrapper()->set_write_metadata(true);
  MakeBoth(unwrapped);
  EXPECT_TRUE(made_.push_config().no_wrapper().write_metadata());
  pubsub::PublishRequest request;
  pubsub::PublishResponse response;
  request.set_topic(TopicPath("orders"));
  auto& message = *request.add_messages();
  message.set_data(std::string("\0raw\xff", 5));
  (*message.mutable_attributes())["colour"] = "green";
  // These would change what the request is.
  (*message.mutable_attributes())["Content-Length"] = "1000000";
  (*message.mutable_attributes())["smuggled"] = "a\r\nx-evil: 1";
  (*message.mutable_attributes())["not a name"] = "b";
  ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response).ok());
  ASSERT_TRUE(AllAcknowledged());
  const auto received = endpoint.requests().at(0);
  EXPECT_EQ(received.body, message.data());
  EXPECT_EQ(received.headers.at("colour"), "green");
  EXPECT_EQ(received.headers.at("content-length"), "5");
  EXPECT_EQ(received.headers.at("x-goog-pubsub-message-id"), response.message_ids(0));
  EXPECT_EQ(received.headers.at("x-goog-pubsub-subscription-name"), SubscriptionPath("orders"));
  EXPECT_EQ(received.headers.count("x-evil") + received.headers.count("smuggled") +
                received.headers.count("not a name"),
            0u);
}

TEST_P(PushTest, WhatIsRefusedComesAgainAndItsAttemptsAreCounted) {
  std::atomic<int> answers{0};
  HttpEndpoint endpoint(
      [&](const auto&, auto& connection) { connection.Reply(++answers < 3 ? 500 : 200); });
  ASSERT_TRUE(MakeTopic("graveyard").ok());
  auto subscription = PushTo(endpoint.url());
  subscription.mutable_dead_letter_policy()->set_dead_letter_topic(TopicPath("graveyard"));
  MakeBoth(subscription);
  Publish({"a"});
  ASSERT_TRUE(AllAcknowledged());
  std::vector<int> attempts;
  for (const auto& request : endpoint.requests())
    attempts.push_back(nlohmann::json::parse(request.body)["deliveryAttempt"]);
  EXPECT_THAT(attempts, ElementsAre(1, 2, 3));
}

TEST_P(PushTest, TheseCodesAcknowledgeAndOthersDoNot) {
  std::atomic<int> code{0};
  HttpEndpoint endpoint(
      [&](const auto&, auto& connection) { connection.Reply(code.exchange(200)); });
  MakeBoth(PushTo(endpoint.url()));
  const std::map<int, size_t> requests_needed = {{200, 1}, {201, 1}, {202, 1}, {204, 1}, {102, 1},
                                                 {203, 2}, {206, 2}, {304, 2}, {404, 2}, {429, 2}};
  for (const auto& [answer, needed] : requests_needed) {
    const size_t before = endpoint.count();
    code = answer;
    Publish({"a"});
    ASSERT_TRUE(AllAcknowledged());
    EXPECT_EQ(endpoint.count() - before, needed) << answer;
  }
}

TEST_P(PushTest, MessagesOfAKeyGoOneAtATimeAndInOrder) {
  std::mutex mu;
  std::set<std::string> busy;
  std::atomic<int> together{0};
  HttpEndpoint endpoint([&](const auto& request, auto& connection) {
    const std::string key = nlohmann::json::parse(request.body)["message"]["orderingKey"];
    {
      std::lock_guard lock(mu);
      if (!busy.insert(key).second) ++together;
    }
    absl::SleepFor(absl::Milliseconds(1));
    {
      std::lock_guard lock(mu);
      busy.erase(key);
    }
    connection.Reply(200);
  });
  auto ordered = PushTo(endpoint.url());
  ordered.set_enable_message_ordering(true);
  MakeBoth(ordered);
  for (const std::string key : {"a", "b", "c"}) {
    pubsub::PublishRequest request;
    pubsub::PublishResponse response;
    request.set_topic(TopicPath("orders"));
    for (int i = 0; i < 50; ++i) {
      request.add_messages()->set_data(key + std::to_string(100 + i));
      request.mutable_messages(i)->set_ordering_key(key);
    }
    ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response).ok());
  }
  ASSERT_TRUE(AllAcknowledged());
  EXPECT_EQ(together, 0);
  std::map<char, std::vector<std::string>> by_key;
  for (const std::string& data : AllDataOf(endpoint)) by_key[data[0]].push_back(data);
  for (const auto& [key, data] : by_key) {
    EXPECT_EQ(data.size(), 50u) << key;
    EXPECT_TRUE(std::is_sorted(data.begin(), data.end())) << key;
  }
}

TEST_P(PushTest, AnEndpointThatHangsKeepsNobodyElseWaiting) {
  HttpEndpoint hangs([](const auto&, auto& connection) { connection.Hang(); });
  HttpEndpoint answers(200);
  options_.push.max_requests = 8;
  server_ = nullptr;
  Start();
  Connect();
  MakeBoth(PushTo(hangs.url()));
  ASSERT_TRUE(TryToMake(PushTo(answers.url())).ok());
  Publish(std::vector<std::string>(200, "a"));
  EXPECT_TRUE(AllAcknowledged("another"));
  EXPECT_EQ(answers.count(), 200u);
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 200);
}

TEST_P(PushTest, RedirectsAreNotFollowed) {
  HttpEndpoint elsewhere(200);
  std::atomic<bool> redirects{true};
  HttpEndpoint endpoint([&](const auto&, auto& connection) {
    if (!redirects.exchange(false)) return connection.Reply(200);
    connection.Send("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + elsewhere.url() +
                    "\r\nContent-Length: 0\r\n\r\n");
  });
  MakeBoth(PushTo(endpoint.url()));
  Publish({"a"});
  ASSERT_TRUE(AllAcknowledged());
  EXPECT_EQ(endpoint.count(), 2u);
  EXPECT_EQ(elsewhere.count(), 0u);
}

TEST_P(PushTest, AnEndpointThatFailsIsLeftAloneAndGetsAllWhenItIsBack) {
  std::atomic<bool> well{false};
  HttpEndpoint endpoint([&](const auto&, auto& connection) { connection.Reply(well ? 200 : 503); });
  MakeBoth(PushTo(endpoint.url()));
  std::vector<std::string> payloads;
  for (int i = 0; i < 500; ++i) payloads.push_back(std::to_string(i));
  Publish(payloads);
  // After 5 failures the breaker opens, and one request goes now and then.
  ASSERT_TRUE(Eventually(
      [&] { return server_->engine().metrics().push.breakers.changes[1].value() >= 3; }));
  EXPECT_LT(endpoint.count(), 30u);
  well = true;
  ASSERT_TRUE(AllAcknowledged());
  EXPECT_THAT(AllDataOf(endpoint), IsSupersetOf(payloads));
}

TEST_P(PushTest, MessagesThatAnEndpointRefusesAgainAndAgainDoNotStopTheOthers) {
  HttpEndpoint endpoint([&](const auto& request, auto& connection) {
    connection.Reply(DataOf(request) == "bad" ? 500 : 200);
  });
  MakeBoth(PushTo(endpoint.url()));
  Publish({"good"});
  ASSERT_TRUE(AllAcknowledged());
  // Fewer than those that open the breaker one after the other; each comes again and again.
  Publish({"bad", "bad", "bad", "bad"});
  ASSERT_TRUE(Eventually([&] { return endpoint.count() >= 30; }));
  Publish({"good"});
  ASSERT_TRUE(Eventually([&] { return client_->Stats("orders").backlog_messages() == 4; }));
  EXPECT_EQ(server_->engine().metrics().push.breakers.changes[1].value(), 0u);
}

TEST_P(PushTest, NobodyPullsFromASubscriptionThatIsPushed) {
  HttpEndpoint endpoint(200);
  MakeBoth(PushTo(endpoint.url()));
  pubsub::PullRequest pull;
  pubsub::PullResponse pulled;
  pull.set_subscription(SubscriptionPath("orders"));
  pull.set_max_messages(1);
  const auto status = Call(*subscriber_, &pubsub::Subscriber::Stub::Pull, pull, &pulled);
  EXPECT_EQ(CodeAndReason(status), "FAILED_PRECONDITION/PUSH_SUBSCRIPTION");
  EXPECT_EQ(status.error_message(), "This method is not supported for this subscription type.");
}

TEST_P(PushTest, ASubscriptionIsPushedOrPulledAsItIsSet) {
  HttpEndpoint endpoint(200);
  MakeBoth();
  grpc::ClientContext context;
  Client::SetDeadline(&context);
  auto stream = subscriber_->StreamingPull(&context);
  pubsub::StreamingPullRequest open;
  pubsub::StreamingPullResponse response;
  open.set_subscription(SubscriptionPath("orders"));
  open.set_stream_ack_deadline_seconds(10);
  ASSERT_TRUE(stream->Write(open) && stream->Read(&response));
  ASSERT_TRUE(ModifyPush(endpoint.url()).ok());
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(CodeAndReason(stream->Finish()), "FAILED_PRECONDITION/PUSH_SUBSCRIPTION");
  Publish({"pushed"});
  ASSERT_TRUE(AllAcknowledged());
  ASSERT_TRUE(ModifyPush("").ok());
  Publish({"pulled"});
  EXPECT_EQ(GoogleTest::DataOf(Pull(1)), std::vector<std::string>{"pulled"});
  EXPECT_EQ(endpoint.count(), 1u);
}

TEST_P(PushTest, AnotherEndpointTakesOver) {
  HttpEndpoint first(503);
  HttpEndpoint second(200);
  MakeBoth(PushTo(first.url()));
  Publish({"a", "b", "c"});
  ASSERT_TRUE(Eventually([&] { return first.count() > 0; }));
  ASSERT_TRUE(Update("push_config", PushTo(second.url())).ok());
  EXPECT_TRUE(AllAcknowledged());
  EXPECT_EQ(second.count(), 3u);
}

TEST_P(PushTest, WhatCannotBePushedToIsRefused) {
  ASSERT_TRUE(MakeTopic("orders").ok());
  const std::string long_url = "https://example.com/" + std::string(2048, 'a');
  for (const std::string& url :
       {std::string("example.com/push"), std::string("ftp://example.com/"), std::string("https://"),
        std::string("https://me@example.com/"), std::string("https://example.com/#part"),
        std::string("https://exa mple.com/"), std::string("https://example.com/\nx"), long_url}) {
    EXPECT_EQ(CodeAndReason(TryToMake(PushTo(url))), "INVALID_ARGUMENT/INVALID_PUSH_CONFIG") << url;
  }
  auto exactly_once = PushTo("https://example.com/");
  exactly_once.set_enable_exactly_once_delivery(true);
  EXPECT_EQ(CodeAndReason(TryToMake(exactly_once)), "INVALID_ARGUMENT/INVALID_PUSH_CONFIG");
  auto signed_token = PushTo("https://example.com/");
  signed_token.mutable_push_config()->mutable_oidc_token()->set_service_account_email(
      "me@example.com");
  EXPECT_EQ(CodeAndReason(TryToMake(signed_token)), "INVALID_ARGUMENT/UNSUPPORTED");
  auto attribute = PushTo("https://example.com/");
  (*attribute.mutable_push_config()->mutable_attributes())["x-goog-version"] = "v1beta1";
  EXPECT_EQ(CodeAndReason(TryToMake(attribute)), "INVALID_ARGUMENT/UNSUPPORTED");
}

TEST_P(PushTest, PrivateAddressesAreRefusedWhereTheServerIsToldSo) {
  options_.push.http.private_addresses = false;
  server_ = nullptr;
  Start();
  Connect();
  ASSERT_TRUE(MakeTopic("orders").ok());
  for (const std::string host :
       {"127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "[::1]", "[fd00::1]", "0x7f.1",
        "[::ffff:192.168.0.1]", "[64:ff9b::a00:1]"}) {
    const auto status = TryToMake(PushTo("http://" + host + "/"));
    EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT/INVALID_PUSH_CONFIG") << host;
    EXPECT_THAT(status.error_message(), HasSubstr("private addresses")) << host;
  }
  EXPECT_TRUE(TryToMake(PushTo("http://192.0.2.1/")).ok());
}

TEST_P(PushTest, AServerThatPushesToAnEndpointThatHangsStopsAndLosesNothing) {
  std::atomic<bool> well{false};
  HttpEndpoint endpoint(
      [&](const auto&, auto& connection) { well ? connection.Reply(200) : connection.Hang(); });
  options_.shutdown_timeout = absl::Seconds(2);
  server_ = nullptr;
  Start();
  Connect();
  MakeBoth(PushTo(endpoint.url()));
  Publish({"a", "b", "c"});
  ASSERT_TRUE(Eventually([&] { return endpoint.count() > 0; }));
  EXPECT_TRUE(server_->Drain().ok());
  if (GetParam() == StoreKind::kMemory) return;
  well = true;
  server_ = nullptr;
  Start();
  ASSERT_TRUE(AllAcknowledged());
  EXPECT_THAT(AllDataOf(endpoint), IsSupersetOf({"a", "b", "c"}));
}

SLUICE_OVER_EVERY_STORE(PushTest);

}  // namespace
}  // namespace sluice::server
