// What the HTTP client makes of servers that do as they should not.
#include <optional>

#include "gtest/gtest.h"
#include "server/push/http_client.h"
#include "tests/support/http_endpoint.h"
#include "tests/support/latch.h"

namespace sluice::server {
namespace {

HttpOutcome Post(const std::string& url, HttpClientOptions options = {},
                 absl::Duration timeout = absl::Minutes(1)) {
  HttpClient client(std::move(options));
  HttpOutcome got;
  Latch done(1);
  client.Post({.url = url, .headers = {}, .body = "body", .timeout = timeout},
              [&](const HttpOutcome& outcome) {
                got = outcome;
                done.CountDown();
              });
  done.Wait();
  return got;
}

using Request = HttpEndpoint::Request;
using Connection = HttpEndpoint::Connection;

TEST(HttpClientTest, ATimeThatPassesWithoutAnAnswerEndsTheRequest) {
  HttpEndpoint endpoint([](const Request&, Connection& connection) { connection.Hang(); });
  const HttpOutcome outcome = Post(endpoint.url(), {}, absl::Milliseconds(100));
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.code, 0);
}

TEST(HttpClientTest, AnAnswerThatComesByteByByteEndsWithTheTimeToo) {
  HttpEndpoint endpoint([](const Request&, Connection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\n");
    while (connection.Send("x")) absl::SleepFor(absl::Milliseconds(5));
  });
  const HttpOutcome outcome = Post(endpoint.url(), {}, absl::Milliseconds(200));
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.code, 0);
}

TEST(HttpClientTest, OfAGigabyteOfAnswerOnlyTheBeginningIsRead) {
  std::atomic<size_t> sent{0};
  HttpEndpoint endpoint([&](const Request&, Connection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const std::string piece(1 << 20, 'x');
    while (sent < 1'000'000'000 && connection.Send(piece)) sent += piece.size();
  });
  EXPECT_EQ(Post(endpoint.url()).code, 200);
  EXPECT_LT(sent, 100'000'000u);
}

TEST(HttpClientTest, HeadersWithoutEndAreNoAnswer) {
  HttpEndpoint endpoint([](const Request&, Connection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\n");
    while (connection.Send("x-header: " + std::string(1000, 'x') + "\r\n")) {
    }
  });
  const HttpOutcome outcome = Post(endpoint.url());
  EXPECT_EQ(outcome.code, 0);
  EXPECT_FALSE(outcome.error.empty());
}

TEST(HttpClientTest, ThatItIsBeingProcessedIsTheAnswer) {
  HttpEndpoint endpoint([](const Request&, Connection& connection) {
    connection.Send("HTTP/1.1 102 Processing\r\n\r\n");
    connection.Hang();
  });
  EXPECT_EQ(Post(endpoint.url()).code, 102);
}

TEST(HttpClientTest, NobodyThereIsNoAnswer) {
  std::string url;
  {
    HttpEndpoint gone(200);
    url = gone.url();
  }
  const HttpOutcome outcome = Post(url);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_FALSE(outcome.error.empty());
}

TEST(HttpClientTest, AnAddressIsLookedAtWhenItIsConnectedTo) {
  HttpEndpoint endpoint(200);
  const HttpOutcome outcome = Post(endpoint.url(), {.ca_file = "", .private_addresses = false});
  EXPECT_EQ(outcome.error, "it leads to a private address");
  EXPECT_EQ(endpoint.count(), 0u);
}

TEST(HttpClientTest, StopEndsWhatIsUnderWayAndEveryoneIsTold) {
  HttpEndpoint endpoint([](const Request&, Connection& connection) { connection.Hang(); });
  HttpClient client({});
  std::atomic<int> told{0};
  const auto done = [&](const HttpOutcome& outcome) { told += outcome.code == 0 ? 1 : 0; };
  for (int i = 0; i < 10; ++i) {
    client.Post({.url = endpoint.url(), .headers = {}, .body = "body", .timeout = absl::Minutes(1)},
                done);
  }
  client.Stop();
  EXPECT_EQ(told, 10);
  client.Post({.url = endpoint.url(), .headers = {}, .body = "body", .timeout = absl::Minutes(1)},
              done);
  EXPECT_EQ(told, 11);
}

}  // namespace
}  // namespace sluice::server
