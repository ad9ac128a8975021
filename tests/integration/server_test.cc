// What those who run a server rely on: health, readiness, metrics, reflection, limits, an orderly
// end.
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/message/wire.h"
#include "gmock/gmock.h"
#include "server/http/detail.h"
#include "tests/integration/fixture.h"
#include "tests/integration/raw.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Lt;
using testing::Not;
using testing::SizeIs;

class ServerLifeTest : public ServerTest {
 protected:
  void SetUp() override {}
  Page Get(const std::string& path) { return HttpGet(server_->http_port(), path); }
  static std::vector<std::string> Lines(const std::string& page, const std::string& beginning) {
    std::vector<std::string> lines = absl::StrSplit(page, '\n');
    std::erase_if(lines,
                  [&](const std::string& line) { return !absl::StartsWith(line, beginning); });
    return lines;
  }
};

TEST_F(ServerLifeTest, PagesSayHowItIs) {
  Start();
  EXPECT_EQ(Get("/healthz").status, 200);
  EXPECT_EQ(Get("/readyz").body, "ready\n");
  EXPECT_EQ(Get("/nothing").status, 404);
}

TEST_F(ServerLifeTest, MetricsCountWhatWasDone) {
  Start();
  CreateBoth("orders");
  client_->Publish("orders", {"a", "b", "c"});
  SubscribeStream stream(*client_, "orders", 10);
  const auto got = stream.Take(3);
  stream.Ack(got[0].delivery_id(), got[1].delivery_id());
  stream.Close();
  const std::string page = Get("/metrics").body;
  for (const char* line :
       {"\nsluice_published_messages_total 3\n", "\nsluice_delivered_messages_total 3\n",
        "\nsluice_acked_messages_total 2\n", "\nsluice_backlog_messages 1\n", "\nsluice_topics 1\n",
        "grpc_server_handled_total{", "grpc_method=\"PublishBatch\""}) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

// However many there are, the page stays of a size.
TEST_F(ServerLifeTest, SeriesDoNotGrowWithTheTopics) {
  Start();
  for (int i = 0; i < 150; ++i) CreateBoth("topic-" + std::to_string(i));
  const std::string page = Get("/metrics").body;
  EXPECT_THAT(Lines(page, "sluice_subscription_backlog_messages{"), SizeIs(100));
  EXPECT_THAT(Lines(page, ""), SizeIs(Lt(5000)));
  EXPECT_THAT(page, HasSubstr("\nsluice_subscriptions 150\n"));
}

TEST_F(ServerLifeTest, PagesHaveEachTopicAndSubscriptionOnce) {
  Start();
  CreateBoth("orders");
  client_->Publish("orders", {"a", "b"});
  // More than fit on a page, the one above among them.
  for (size_t i = 0; i < kDetailsPerPage; ++i) CreateBoth("a-" + std::to_string(i));
  std::string both;
  for (const char* path : {"/metrics/topics", "/metrics/topics?page=1",
                           "/metrics/subscriptions?page=0", "/metrics/subscriptions?page=1"}) {
    const Page page = Get(path);
    EXPECT_EQ(page.status, 200) << path;
    both += page.body;
  }
  for (const std::string id : {"orders", "a-0", "a-7", "a-999"}) {
    EXPECT_THAT(
        Lines(both, "sluice_topic_retained_messages{topic=\"projects/test/topics/" + id + "\"}"),
        SizeIs(1))
        << id;
    EXPECT_THAT(
        Lines(both,
              "sluice_subscription_backlog_messages{subscription=\"projects/test/subscriptions/" +
                  id + "\"}"),
        SizeIs(1))
        << id;
  }
  const std::string last =
      Get("/metrics/subscriptions?page=1").body + Get("/metrics/topics?page=1").body;
  EXPECT_THAT(last, HasSubstr("\nsluice_subscription_backlog_messages{subscription=\"projects/test/"
                              "subscriptions/orders\"} 2\n"));
  EXPECT_THAT(
      last,
      HasSubstr(
          "\nsluice_topic_published_messages_total{topic=\"projects/test/topics/orders\"} 2\n"));
  EXPECT_THAT(last, Not(HasSubstr("a-999")));
  EXPECT_EQ(Get("/metrics/topics?page=2").body, "");
}

TEST_F(ServerLifeTest, APageThatIsNoNumberIsRefused) {
  Start();
  for (const char* query :
       {"?page=x", "?page=-1", "?page=10000", "?page=", "?topic=orders", "?page=1&page=2"}) {
    const Page page = Get(std::string("/metrics/subscriptions") + query);
    EXPECT_EQ(page.status, 400) << query;
    EXPECT_EQ(page.body, "page: a number from 0 to 9999, as in ?page=0\n");
  }
}

TEST_F(ServerLifeTest, UnknownMethodsAreUnimplementedAndCounted) {
  Start();
  std::string response;
  const grpc::Status status = RawCall(*client_, "/sluice.v1.PubSub/Explode", "", &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(Get("/metrics").body, HasSubstr("grpc_code=\"Unimplemented\"} 1\n"));
}

TEST_F(ServerLifeTest, MoreStreamsThanTheLimitAreRefused) {
  options_.max_streams = 2;
  Start();
  CreateBoth("orders");
  SubscribeStream first(*client_, "orders");
  {
    SubscribeStream second(*client_, "orders");
    SubscribeStream third(*client_);
    EXPECT_EQ(CodeAndReason(third.End()), "RESOURCE_EXHAUSTED/TOO_MANY_STREAMS");
    EXPECT_EQ(CodeAndReason(second.Close()), "OK");
  }
  // The client hears of a stream's end a moment before the server has let go of it.
  std::string again;
  for (int tries = 0; tries < 1'000 && again != "OK"; ++tries) {
    SubscribeStream stream(*client_);
    v1::SubscribeRequest request;
    request.set_subscription(SubscriptionPath("orders"));
    stream.Send(request);
    again = CodeAndReason(stream.Close());
  }
  EXPECT_EQ(again, "OK");
}

TEST_F(ServerLifeTest, MetadataHasALimit) {
  Start();
  grpc::ClientContext context;
  Client::SetDeadline(&context);
  context.AddMetadata("x-large", std::string(20 << 10, 'x'));
  auto stream = client_->pubsub().Publish(&context);
  v1::PublishResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ServerLifeTest, DrainEndsStreamsWithUnavailableAndKeepsWhatTheyAcked) {
  UseLocalStore();
  Start();
  CreateBoth("orders");
  client_->Publish("orders", {"a", "b"});
  SubscribeStream subscriber(*client_, "orders", 10);
  PublishStream publisher(*client_);
  publisher.Send("orders", 1, {"c"});
  ASSERT_EQ(publisher.Take(1).size(), 1u);
  const auto got = subscriber.Take(3);
  ASSERT_EQ(got.size(), 3u);
  subscriber.Ack(got[0].delivery_id(), got[1].delivery_id());
  while (client_->Stats("orders").acked_messages() < 2) std::this_thread::yield();
  std::thread drain([this] { EXPECT_TRUE(server_->Drain().ok()); });
  EXPECT_EQ(CodeAndReason(subscriber.End()), "UNAVAILABLE/DRAINING");
  EXPECT_EQ(CodeAndReason(publisher.End()), "UNAVAILABLE/DRAINING");
  drain.join();
  server_ = nullptr;
  Start();
  SubscribeStream again(*client_, "orders", 10);
  EXPECT_THAT(again.TakeData(1), ElementsAre("c"));
}

// grpc.health.v1: HealthCheckRequest.service is field 1, HealthCheckResponse.status field 1 with 1
// for SERVING. https://github.com/grpc/grpc/blob/master/doc/health-checking.md
TEST_F(ServerLifeTest, HealthServiceAnswers) {
  Start();
  for (const char* service : {"", "readiness", "liveness", "publish"}) {
    std::string request;
    AppendBytesField(&request, 1, service);
    std::string response;
    ASSERT_TRUE(RawCall(*client_, "/grpc.health.v1.Health/Check", request, &response).ok())
        << service;
    WireReader in(response);
    WireField field;
    ASSERT_TRUE(in.Next(&field)) << service;
    EXPECT_EQ(field.number, 1u) << service;
    EXPECT_EQ(field.value, 1u) << service;
  }
}

// grpc.reflection.v1alpha: a request with list_services (7) is answered with list_services_response
// (6), which holds services (1) with names (1).
TEST_F(ServerLifeTest, ReflectionListsTheServices) {
  Start();
  std::string request;
  AppendBytesField(&request, 7, "*");
  std::string response;
  ASSERT_TRUE(RawCall(*client_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                      request, &response)
                  .ok());
  std::vector<std::string> names;
  WireField outer, service, name;
  for (WireReader in(response); in.Next(&outer);) {
    if (outer.number != 6) continue;
    for (WireReader services(outer.bytes); services.Next(&service);) {
      for (WireReader fields(service.bytes); fields.Next(&name);) names.emplace_back(name.bytes);
    }
  }
  EXPECT_THAT(names,
              IsSupersetOf({"sluice.v1.PubSub", "sluice.v1.Admin", "grpc.health.v1.Health"}));
}

}  // namespace
}  // namespace sluice::server
