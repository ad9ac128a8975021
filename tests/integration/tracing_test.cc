// Spans of the server, as a collector gets them.
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "server/process/check_options.h"
#include "server/tracing/context.h"
#include "tests/integration/google_fixture.h"
#include "tests/integration/raw.h"
#include "tests/support/http_endpoint.h"
#include "tests/support/pki.h"
#include "tests/support/temp_folder.h"
#include "tests/support/trace_collector.h"

namespace sluice::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using Span = TraceCollector::Span;

const std::string kTraceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpanId = "00f067aa0ba902b7";
const std::string kSampled = "00-" + kTraceId + "-" + kSpanId + "-01";
const std::string kUnsampled = "00-" + kTraceId + "-" + kSpanId + "-00";

const std::string kPublish = "publish projects/test/topics/orders";
const std::string kStore = "store projects/test/topics/orders";
const std::string kDeliver = "deliver projects/test/subscriptions/orders";
const std::string kAck = "ack projects/test/subscriptions/orders";
const std::string kNack = "nack projects/test/subscriptions/orders";

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

std::map<std::string, std::string> AttributesOf(const Span& span) {
  std::map<std::string, std::string> attributes;
  for (const auto& attribute : span.attributes()) {
    attributes[attribute.key()] = attribute.value().has_int_value()
                                      ? std::to_string(attribute.value().int_value())
                                      : attribute.value().string_value();
  }
  return attributes;
}

template <class Base>
class Traced : public Base {
 protected:
  void SetUp() override {
    this->options_.trace = {.endpoint = collector_.address(), .sample = 0};
    Base::SetUp();
  }
  // Everything that was traced so far has come.
  void Flush() { ASSERT_TRUE(this->server_->Drain().ok()); }
  // The only span of that name.
  Span Only(const std::string& name) {
    const std::vector<Span> named = collector_.Named(name);
    EXPECT_THAT(named, SizeIs(1)) << name;
    return named.empty() ? Span() : named.front();
  }

  TraceCollector collector_;
};

void ExpectChild(const Span& child, const std::string& trace_id, const std::string& parent_id) {
  EXPECT_EQ(Hex(child.trace_id()), trace_id) << child.name();
  EXPECT_EQ(Hex(child.parent_span_id()), parent_id) << child.name();
  EXPECT_LE(child.start_time_unix_nano(), child.end_time_unix_nano()) << child.name();
}

class TracingTest : public Traced<ServerTest> {
 protected:
  v1::PublishBatchRequest RequestWith(const std::vector<std::string>& traceparents) {
    v1::PublishBatchRequest request;
    request.set_topic(TopicPath("orders"));
    for (const std::string& traceparent : traceparents) {
      auto* message = request.add_messages();
      message->set_data("payload");
      if (!traceparent.empty()) (*message->mutable_attributes())["traceparent"] = traceparent;
    }
    return request;
  }
  grpc::Status Publish(const v1::PublishBatchRequest& request) {
    v1::PublishBatchResponse response;
    return client_->PublishBatch(request, &response);
  }
  // Takes so many, acknowledges them, and returns once that is done.
  std::vector<v1::Delivery> TakeAndAck(size_t count) {
    SubscribeStream stream(*client_, "orders", static_cast<int64_t>(count));
    auto taken = stream.Take(count);
    EXPECT_EQ(taken.size(), count);
    stream.Ack(taken.front().delivery_id(), taken.back().delivery_id());
    stream.Close();
    return taken;
  }
};

TEST_F(TracingTest, OneTraceGoesFromThePublisherToTheAcknowledgement) {
  CreateBoth("orders");
  PublishStream publisher(*client_);
  v1::PublishRequest request;
  request.set_topic(TopicPath("orders"));
  request.add_messages()->set_data("payload");
  auto& attributes = *request.mutable_messages(0)->mutable_attributes();
  attributes["traceparent"] = kSampled;
  attributes["tracestate"] = "congo=t61rcWkgMzE";
  publisher.Send(request);
  ASSERT_THAT(publisher.Take(1), SizeIs(1));
  const auto taken = TakeAndAck(1);
  // What the publisher sent is what the subscriber gets.
  EXPECT_EQ(taken[0].message().attributes().at("traceparent"), kSampled);
  EXPECT_EQ(taken[0].message().attributes().at("tracestate"), "congo=t61rcWkgMzE");
  Flush();

  const Span publish = Only(kPublish);
  ExpectChild(publish, kTraceId, kSpanId);
  EXPECT_EQ(publish.kind(), Span::SPAN_KIND_SERVER);
  EXPECT_EQ(publish.trace_state(), "congo=t61rcWkgMzE");
  EXPECT_EQ(publish.flags(), 0x301u);
  EXPECT_THAT(publish.links(), IsEmpty());
  EXPECT_THAT(AttributesOf(publish),
              AllOf(Contains(Pair("messaging.system", "sluice")),
                    Contains(Pair("messaging.operation.name", "publish")),
                    Contains(Pair("messaging.operation.type", "send")),
                    Contains(Pair("messaging.destination.name", TopicPath("orders"))),
                    Contains(Pair("messaging.message.id", "1")),
                    Not(Contains(Key("messaging.batch.message_count")))));
  const Span store = Only(kStore);
  ExpectChild(store, kTraceId, Hex(publish.span_id()));
  EXPECT_EQ(store.kind(), Span::SPAN_KIND_INTERNAL);
  EXPECT_GE(store.start_time_unix_nano(), publish.start_time_unix_nano());
  const Span deliver = Only(kDeliver);
  ExpectChild(deliver, kTraceId, kSpanId);
  EXPECT_EQ(deliver.kind(), Span::SPAN_KIND_PRODUCER);
  EXPECT_EQ(deliver.trace_state(), "congo=t61rcWkgMzE");
  ASSERT_THAT(deliver.links(), SizeIs(1));
  EXPECT_EQ(Hex(deliver.links(0).span_id()), kSpanId);
  EXPECT_THAT(
      AttributesOf(deliver),
      AllOf(Contains(Pair("messaging.operation.type", "receive")),
            Contains(Pair("messaging.message.id", "1")),
            Contains(Pair("messaging.destination.name", TopicPath("orders"))),
            Contains(Pair("messaging.destination.subscription.name", SubscriptionPath("orders")))));
  const Span ack = Only(kAck);
  ExpectChild(ack, kTraceId, Hex(deliver.span_id()));
  ASSERT_THAT(ack.links(), SizeIs(1));
  EXPECT_EQ(ack.links(0).span_id(), deliver.span_id());
  EXPECT_THAT(AttributesOf(ack), AllOf(Contains(Pair("messaging.operation.type", "settle")),
                                       Contains(Pair("messaging.batch.message_count", "1"))));
  EXPECT_THAT(collector_.resource(),
              AllOf(HasSubstr("\"service.name\""), HasSubstr("\"sluiced\""),
                    HasSubstr("\"service.version\""), HasSubstr("\"service.instance.id\"")));
}

TEST_F(TracingTest, TheContextOfASingleCallComesBeforeThoseOfItsMessages) {
  client_->CreateTopic("orders");
  const std::string other = "00-" + kTraceId + "-1111111111111111-01";
  v1::PublishBatchResponse response;
  grpc::ClientContext context;
  Client::SetDeadline(&context);
  context.AddMetadata("traceparent", kSampled);
  context.AddMetadata("tracestate", "a=1");
  ASSERT_TRUE(
      client_->pubsub().PublishBatch(&context, RequestWith({other, other, ""}), &response).ok());
  Flush();
  const Span publish = Only(kPublish);
  ExpectChild(publish, kTraceId, kSpanId);
  EXPECT_EQ(publish.trace_state(), "a=1");
  ASSERT_THAT(publish.links(), SizeIs(1));
  EXPECT_EQ(Hex(publish.links(0).span_id()), "1111111111111111");
  EXPECT_THAT(AttributesOf(publish), Contains(Pair("messaging.batch.message_count", "3")));
}

TEST_F(TracingTest, OfTwoContextsOfACallNoneCounts) {
  client_->CreateTopic("orders");
  v1::PublishBatchResponse response;
  grpc::ClientContext context;
  Client::SetDeadline(&context);
  context.AddMetadata("traceparent", kSampled);
  context.AddMetadata("traceparent", kSampled);
  ASSERT_TRUE(client_->pubsub().PublishBatch(&context, RequestWith({""}), &response).ok());
  Flush();
  EXPECT_THAT(collector_.spans(), IsEmpty());
}

TEST_F(TracingTest, WhatIsNotSampledIsNotTraced) {
  CreateBoth("orders");
  ASSERT_TRUE(Publish(RequestWith({kUnsampled, "", "nonsense"})).ok());
  TakeAndAck(3);
  Flush();
  EXPECT_THAT(collector_.spans(), IsEmpty());
}

TEST_F(TracingTest, DeliveriesAreLinkedToAsManyMessagesAsFit) {
  CreateBoth("orders");
  std::vector<std::string> traceparents;
  for (int i = 0; i < 130; ++i) {
    const std::string number = std::to_string(1000 + i);
    traceparents.push_back("00-" + kTraceId + "-00000000" + "0000" + number + "-01");
  }
  ASSERT_TRUE(Publish(RequestWith(traceparents)).ok());
  TakeAndAck(130);
  Flush();
  const Span deliver = Only(kDeliver);
  EXPECT_THAT(deliver.links(), SizeIs(128));
  EXPECT_EQ(deliver.dropped_links_count(), 2u);
  EXPECT_EQ(Hex(deliver.parent_span_id()), "0000000000001000");
  EXPECT_THAT(AttributesOf(deliver), Contains(Pair("messaging.batch.message_count", "130")));
}

TEST_F(TracingTest, AFailedPublishSaysWhy) {
  client_->CreateTopic("orders");
  v1::PublishBatchRequest request = RequestWith({kSampled});
  request.mutable_messages(0)->set_priority(10);
  EXPECT_FALSE(Publish(request).ok());
  Flush();
  const Span publish = Only(kPublish);
  EXPECT_EQ(publish.status().code(), opentelemetry::proto::trace::v1::Status::STATUS_CODE_ERROR);
  EXPECT_THAT(publish.status().message(), HasSubstr("priority"));
  EXPECT_THAT(AttributesOf(publish), Contains(Pair("error.type", "INVALID_PRIORITY")));
}

TEST_F(TracingTest, NacksAreTracedToo) {
  CreateBoth("orders");
  ASSERT_TRUE(Publish(RequestWith({kSampled})).ok());
  SubscribeStream stream(*client_, "orders", 2);
  const auto first = stream.Take(1);
  stream.Nack(first[0].delivery_id(), first[0].delivery_id());
  ASSERT_THAT(stream.Take(1), SizeIs(1));
  stream.Close();
  Flush();
  EXPECT_THAT(collector_.Named(kDeliver), SizeIs(2));
  EXPECT_EQ(Only(kNack).parent_span_id(), collector_.Named(kDeliver)[0].span_id());
}

TEST_F(TracingTest, ConfirmedAcknowledgementsEndWhenTheyAreDurable) {
  client_->CreateTopic("orders");
  v1::Subscription subscription;
  subscription.set_name(SubscriptionPath("orders"));
  subscription.set_topic(TopicPath("orders"));
  subscription.set_enable_exactly_once_delivery(true);
  ASSERT_TRUE(client_->CreateSubscription(subscription).ok());
  ASSERT_TRUE(Publish(RequestWith({kSampled})).ok());
  SubscribeStream stream(*client_, "orders", 1);
  const auto taken = stream.Take(1);
  // One that was delivered, and one that never was.
  stream.Ack(taken[0].delivery_id(), taken[0].delivery_id() + 1);
  stream.Close();
  Flush();
  const Span ack = Only(kAck);
  EXPECT_EQ(ack.parent_span_id(), Only(kDeliver).span_id());
  EXPECT_THAT(AttributesOf(ack), AllOf(Contains(Pair("messaging.batch.message_count", "1")),
                                       Contains(Pair("error.type", "FAILED_PRECONDITION"))));
}

class NewTraceTest : public TracingTest {
 protected:
  void SetUp() override {
    options_.trace = {.endpoint = collector_.address(), .sample = 1};
    ServerTest::SetUp();
  }
};

TEST_F(NewTraceTest, APublishWithoutATraceBeginsOne) {
  CreateBoth("orders");
  ASSERT_TRUE(Publish(RequestWith({"", ""})).ok());
  TakeAndAck(2);
  Flush();
  const Span publish = Only(kPublish);
  EXPECT_EQ(publish.parent_span_id(), "");
  const std::string trace_id = Hex(publish.trace_id());
  ExpectChild(Only(kStore), trace_id, Hex(publish.span_id()));
  const Span deliver = Only(kDeliver);
  ExpectChild(deliver, trace_id, Hex(publish.span_id()));
  ExpectChild(Only(kAck), trace_id, Hex(deliver.span_id()));
}

TEST_F(NewTraceTest, SomebodyElsesNoIsANo) {
  CreateBoth("orders");
  ASSERT_TRUE(Publish(RequestWith({kUnsampled})).ok());
  TakeAndAck(1);
  Flush();
  EXPECT_THAT(collector_.spans(), IsEmpty());
}

TEST_F(NewTraceTest, TheMetricsPageCountsSpans) {
  client_->CreateTopic("orders");
  ASSERT_TRUE(Publish(RequestWith({""})).ok());
  collector_.WaitForCall();
  const std::string page = HttpGet(server_->http_port(), "/metrics").body;
  for (const char* name : {"sluice_trace_spans_exported_total ",
                           "sluice_trace_spans_dropped_total{reason=\"queue_full\"} 0",
                           "sluice_trace_export_failures_total 0", "sluice_trace_queued_spans 0"}) {
    EXPECT_THAT(page, HasSubstr(name));
  }
}

class GoogleTracingTest : public Traced<GoogleTest> {
 protected:
  void PublishTraced() {
    pubsub::PublishRequest request;
    pubsub::PublishResponse response;
    request.set_topic(TopicPath("orders"));
    request.add_messages()->set_data("payload");
    (*request.mutable_messages(0)->mutable_attributes())["googclient_traceparent"] = kSampled;
    ASSERT_TRUE(Call(*publisher_, &pubsub::Publisher::Stub::Publish, request, &response).ok());
  }
};
SLUICE_OVER_EVERY_STORE(GoogleTracingTest);

TEST_P(GoogleTracingTest, OneTraceGoesThroughAStream) {
  MakeBoth();
  PublishTraced();
  PullStream stream(*subscriber_);
  const auto response = stream.ReadMessages();
  ASSERT_THAT(response.received_messages(), SizeIs(1));
  EXPECT_EQ(response.received_messages(0).message().attributes().at("googclient_traceparent"),
            kSampled);
  pubsub::StreamingPullRequest ack;
  ack.add_ack_ids(response.received_messages(0).ack_id());
  stream.Send(ack);
  // A ping is answered when what came before it was handled.
  stream.Send({});
  stream.Read();
  stream.Cancel();
  Flush();
  ExpectChild(Only(kPublish), kTraceId, kSpanId);
  ExpectChild(Only(kStore), kTraceId, Hex(Only(kPublish).span_id()));
  ExpectChild(Only(kDeliver), kTraceId, kSpanId);
  ExpectChild(Only(kAck), kTraceId, Hex(Only(kDeliver).span_id()));
}

TEST_P(GoogleTracingTest, APushCarriesTheTraceToItsEndpoint) {
  std::atomic<int> answers{0};
  const HttpEndpoint endpoint(
      [&](const auto&, auto& connection) { connection.Reply(++answers == 1 ? 503 : 204); });
  pubsub::Subscription subscription;
  subscription.mutable_push_config()->set_push_endpoint(endpoint.url());
  MakeBoth(subscription);
  PublishTraced();
  while (endpoint.count() < 2) std::this_thread::yield();
  Flush();
  const std::vector<Span> pushes = collector_.Named(kDeliver);
  ASSERT_THAT(pushes, SizeIs(2));
  EXPECT_EQ(AttributesOf(pushes[0]).at("error.type"), "UNAVAILABLE");
  EXPECT_EQ(pushes[0].status().message(), "the endpoint answered 503");
  const auto requests = endpoint.requests();
  for (size_t i = 0; i < pushes.size(); ++i) {
    ExpectChild(pushes[i], kTraceId, kSpanId);
    EXPECT_EQ(requests[i].headers.at("traceparent"),
              "00-" + kTraceId + "-" + Hex(pushes[i].span_id()) + "-01");
  }
}

TEST_P(GoogleTracingTest, OneTraceGoesThroughSingleCalls) {
  MakeBoth();
  PublishTraced();
  const std::vector<std::string> ids = IdsOf(Pull(1));
  ASSERT_TRUE(Acknowledge(ids).ok());
  Flush();
  ExpectChild(Only(kDeliver), kTraceId, kSpanId);
  ExpectChild(Only(kAck), kTraceId, Hex(Only(kDeliver).span_id()));
}

TEST_P(GoogleTracingTest, SingleCallsAreInTheTraceOfTheirCaller) {
  MakeBoth();
  PublishTraced();
  const std::string others = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  const auto traced = [&](grpc::ClientContext* context) {
    Client::SetDeadline(context);
    context->AddMetadata("traceparent", "00-" + others + "-bbbbbbbbbbbbbbbb-01");
  };
  grpc::ClientContext pull_context;
  traced(&pull_context);
  pubsub::PullRequest pull;
  pubsub::PullResponse pulled;
  pull.set_subscription(SubscriptionPath("orders"));
  pull.set_max_messages(1);
  ASSERT_TRUE(subscriber_->Pull(&pull_context, pull, &pulled).ok());
  grpc::ClientContext ack_context;
  traced(&ack_context);
  pubsub::AcknowledgeRequest ack;
  google::protobuf::Empty nothing;
  ack.set_subscription(SubscriptionPath("orders"));
  ack.add_ack_ids(IdsOf(pulled).at(0));
  ASSERT_TRUE(subscriber_->Acknowledge(&ack_context, ack, &nothing).ok());
  Flush();
  const Span deliver = Only(kDeliver);
  ExpectChild(deliver, others, "bbbbbbbbbbbbbbbb");
  ASSERT_THAT(deliver.links(), SizeIs(1));
  EXPECT_EQ(Hex(deliver.links(0).span_id()), kSpanId);
  ExpectChild(Only(kAck), others, "bbbbbbbbbbbbbbbb");
  EXPECT_EQ(Only(kAck).links(0).span_id(), deliver.span_id());
}

// A collector that does not do its part.
class BadCollectorTest : public ServerTest {
 protected:
  void SetUp() override {}
  // Publishes more than the queue holds, and says how many spans are lost.
  void PublishMany(const std::string& endpoint) {
    options_.trace = {.endpoint = endpoint, .sample = 1, .queue = 100};
    options_.shutdown_timeout = absl::Seconds(5);
    Start();
    client_->CreateTopic("orders");
    for (int i = 0; i < 200; ++i)
      EXPECT_EQ(client_->Publish("orders", {"payload"}), static_cast<uint64_t>(i + 1));
  }
  void ExpectQuickEnd() {
    const absl::Time begin = absl::Now();
    EXPECT_TRUE(server_->Drain().ok());
    // A fifth of the time for the whole shutdown.
    EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
  }
};

TEST_F(BadCollectorTest, PublishingGoesOnWithoutOne) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  // Nobody listens there any more.
  builder.BuildAndStart()->Shutdown();
  PublishMany("127.0.0.1:" + std::to_string(port));
  ExpectQuickEnd();
}

TEST_F(BadCollectorTest, PublishingGoesOnWithOneThatHangs) {
  TraceCollector collector(TraceCollector::Mode::kHangs);
  PublishMany(collector.address());
  collector.WaitForCall();
  for (int i = 0; i < 100; ++i) client_->Publish("orders", {"payload"});
  EXPECT_THAT(HttpGet(server_->http_port(), "/metrics").body,
              AllOf(HasSubstr("sluice_trace_queued_spans 100"),
                    Not(HasSubstr("sluice_trace_spans_dropped_total{reason=\"queue_full\"} 0\n"))));
  ExpectQuickEnd();
}

TEST_F(BadCollectorTest, PublishingGoesOnWithOneThatFails) {
  TraceCollector collector(TraceCollector::Mode::kFails);
  PublishMany(collector.address());
  collector.WaitForCall();
  ExpectQuickEnd();
  EXPECT_THAT(collector.spans(), IsEmpty());
}

// A collector that has a certificate and wants a key.
class SecureCollectorTest : public ServerTest {
 protected:
  void SetUp() override {
    options_.trace = {.endpoint = "https://" + collector_.address(),
                      .ca_file = folder_.Write("ca.pem", authority_.cert()),
                      .headers_file = folder_.Write("headers", "authorization: Bearer s3cret\n"),
                      .sample = 1};
    options_.shutdown_timeout = absl::Seconds(5);
  }
  std::shared_ptr<grpc::ServerCredentials> Credentials() const {
    const Issued pair = authority_.Issue({});
    grpc::SslServerCredentialsOptions ssl;
    ssl.pem_key_cert_pairs.push_back({pair.key, pair.cert});
    return grpc::SslServerCredentials(ssl);
  }
  // What the server says that does not start.
  std::string Refusal() const {
    const auto started = Server::Start(options_);
    EXPECT_EQ(ReasonOf(started.status()), Reason::kInvalidConfig);
    EXPECT_THAT(CheckOptions(options_), SizeIs(1)) << "--check-config says the same";
    return std::string(started.status().message());
  }

  const TempFolder folder_;
  const Authority authority_{"of the collector"};
  TraceCollector collector_{TraceCollector::Mode::kTakes, Credentials()};
};

TEST_F(SecureCollectorTest, GetsSpansOverTlsWithItsKey) {
  Start();
  client_->CreateTopic("orders");
  client_->Publish("orders", {"payload"});
  ASSERT_TRUE(server_->Drain().ok());
  EXPECT_THAT(collector_.Named(kPublish), SizeIs(1));
  EXPECT_THAT(collector_.headers(), Contains(Pair("authorization", "Bearer s3cret")));
}

TEST_F(SecureCollectorTest, OneOfAnotherAuthorityGetsNothing) {
  options_.trace.ca_file = folder_.Write("other.pem", Authority("another").cert());
  Start();
  client_->CreateTopic("orders");
  EXPECT_EQ(client_->Publish("orders", {"payload"}), 1u);
  ASSERT_TRUE(server_->Drain().ok());
  EXPECT_THAT(collector_.spans(), IsEmpty());
}

TEST_F(SecureCollectorTest, FilesThatDoNotDoAreNamed) {
  const TraceOptions good = options_.trace;
  options_.trace.ca_file = folder_.Write("no.pem", "nothing");
  EXPECT_THAT(Refusal(), HasSubstr("trace.ca: " + options_.trace.ca_file +
                                   ": there is no certificate (PEM) in it"));
  options_.trace = good;
  options_.trace.headers_file = folder_.Write("no", "s3cret");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(options_.trace.headers_file + ":1: must be name: value"),
                               Not(HasSubstr("s3cret"))));
  options_.trace = good;
  options_.trace.endpoint = collector_.address();
  EXPECT_THAT(Refusal(), HasSubstr("trace.ca: " + good.ca_file +
                                   ": trace.endpoint has to begin with https:// for it"));
  options_.trace.ca_file.clear();
  EXPECT_THAT(Refusal(), HasSubstr("trace.headers: " + good.headers_file +
                                   ": trace.endpoint has to begin with https:// for it"));
}

}  // namespace
}  // namespace sluice::server
