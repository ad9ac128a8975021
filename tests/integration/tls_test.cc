// TLS: who gets through a handshake, who a certificate says it is, and certificates that change
// while the server runs.
#include <httplib.h>

#include "gmock/gmock.h"
#include "tests/integration/raw.h"
#include "tests/integration/security_fixture.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class TlsTest : public SecurityTest {
 protected:
  void SetUp() override { UsePair(authority_.Issue({})); }

  void UsePair(const Issued& issued) {
    options_.tls.key = WriteFile("tls.key", issued.key);
    options_.tls.cert = WriteFile("tls.crt", issued.cert);
  }
  void AskClients(ClientAuth auth) {
    options_.tls.client_ca = WriteFile("ca.crt", authority_.cert());
    options_.tls.client_auth = auth;
  }
  void Start() {
    options_.listen = "127.0.0.1:0";
    options_.http = "127.0.0.1:0";
    auto started = Server::Start(options_);
    ASSERT_TRUE(started.ok()) << std::string(started.status().message());
    server_ = *std::move(started);
  }
  // What a call over TLS ends with; `root` is whom the client trusts.
  grpc::Status CallWith(const std::string& root, const Issued& client = {}) {
    grpc::SslCredentialsOptions tls{root, client.key, client.cert};
    return CallOver(grpc::SslCredentials(tls));
  }
  grpc::Status CallOver(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // By address: a name of /etc/hosts is never freed by c-ares 1.18 (c-ares#439), which
    // LeakSanitizer counts.
    auto channel = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->grpc_port()),
                                             credentials, arguments);
    auto stub = v1::Admin::NewStub(channel);
    grpc::ClientContext context;
    Client::SetDeadline(&context);
    v1::GetTopicRequest request;
    v1::GetTopicResponse response;
    request.set_name("projects/team-a/topics/orders");
    return stub->GetTopic(&context, request, &response);
  }

  const Authority authority_{"our CA"};
  const Authority other_{"other CA"};
};

TEST_F(TlsTest, WhoTrustsTheServersAuthorityGetsThrough) {
  Start();
  EXPECT_EQ(CallWith(authority_.cert()).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(CallWith(other_.cert()).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(CallOver(grpc::InsecureChannelCredentials()).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, ClientsNeedAGoodCertificateWhereOneIsRequired) {
  AskClients(ClientAuth::kRequire);
  Start();
  const auto code = [&](const Issued& client) {
    return CallWith(authority_.cert(), client).error_code();
  };
  EXPECT_EQ(code(authority_.Issue({.for_servers = false})), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code({}), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(code(other_.Issue({.for_servers = false})), grpc::StatusCode::UNAVAILABLE)
      << "of another authority";
  EXPECT_EQ(
      code(authority_.Issue({.for_servers = false, .valid_from = -7200, .valid_until = -3600})),
      grpc::StatusCode::UNAVAILABLE)
      << "expired";
  EXPECT_EQ(code(authority_.Issue({.for_servers = true})), grpc::StatusCode::UNAVAILABLE)
      << "for another use";
}

TEST_F(TlsTest, ACertificateSaysWhoItIs) {
  AskClients(ClientAuth::kOptional);
  options_.auth.certificates = true;
  UsePolicy(
      "bindings:\n"
      "  - {role: viewer, members: [\"cert:spiffe://example.com/a\", \"cert:CN=plain\"], "
      "resources: [projects/team-a/*]}\n");
  Start();
  const auto reason = [&](const Issued& client) {
    return CodeAndReason(CallWith(authority_.cert(), client));
  };
  const auto client = [&](const std::string& name, const std::string& alternative) {
    return authority_.Issue({.name = name, .alternative = alternative, .for_servers = false});
  };
  EXPECT_EQ(reason(client("x", "URI:spiffe://example.com/a")), "NOT_FOUND/TOPIC_NOT_FOUND");
  EXPECT_EQ(reason(client("x", "URI:spiffe://example.com/b")),
            "PERMISSION_DENIED/PERMISSION_DENIED");
  EXPECT_EQ(reason(client("plain", "")), "NOT_FOUND/TOPIC_NOT_FOUND");
  EXPECT_EQ(reason({}), "UNAUTHENTICATED/CREDENTIALS_MISSING");
}

TEST_F(TlsTest, NewCertificatesAreUsedAndABrokenPairIsNot) {
  Start();
  const auto expiry = server_->security_metrics().certificate_expiry.value();
  EXPECT_GT(expiry, absl::ToUnixSeconds(absl::Now()));
  // A key of another certificate.
  WriteFile("tls.key", authority_.Issue({}).key);
  WaitUntil([&] { return server_->security_metrics().certificates.failed.value() > 0; });
  EXPECT_EQ(CallWith(authority_.cert()).error_code(), grpc::StatusCode::NOT_FOUND)
      << "the one before stays";
  UsePair(other_.Issue({.valid_until = 7200}));
  WaitUntil([&] { return server_->security_metrics().certificate_expiry.value() != expiry; });
  EXPECT_EQ(CallWith(other_.cert()).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(CallWith(authority_.cert()).error_code(), grpc::StatusCode::UNAVAILABLE);

  httplib::SSLClient https("localhost", server_->http_port());
  https.set_ca_cert_path(WriteFile("other.crt", other_.cert()).c_str());
  auto page = https.Get("/metrics");
  ASSERT_TRUE(page) << httplib::to_string(page.error());
  EXPECT_THAT(page->body, HasSubstr("sluice_tls_certificate_expiry_timestamp_seconds"));
}

TEST_F(TlsTest, PlainTextBeyondThisMachineMustBeMeant) {
  options_.tls = {};
  options_.listen = "0.0.0.0:0";
  options_.http = "127.0.0.1:0";
  auto started = Server::Start(options_);
  EXPECT_THAT(std::string(started.status().message()),
              HasSubstr("listen: 0.0.0.0:0 can be reached from other machines"));
  options_.insecure = true;
  EXPECT_TRUE(Server::Start(options_).ok());
}

TEST_F(TlsTest, TheProbePortAnswersInPlainTextAndHasNothingElse) {
  options_.probe = "127.0.0.1:0";
  Start();
  Client probe(server_->probe_port());
  // grpc.health.v1.HealthCheckRequest of "readiness", and the answer that it serves.
  std::string answer;
  ASSERT_TRUE(RawCall(probe, "/grpc.health.v1.Health/Check", "\x0a\x09readiness", &answer).ok());
  EXPECT_EQ(answer, "\x08\x01");
  EXPECT_EQ(probe.CreateTopic("t").error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(TlsTest, PagesThatNameTopicsAreForWhoMaySeeTheServer) {
  UseTokens({"prometheus", "a"});
  UsePolicy("bindings:\n  - {role: viewer, members: [token:prometheus], resources: [\"*\"]}\n");
  Start();
  httplib::SSLClient https("localhost", server_->http_port());
  https.set_ca_cert_path(WriteFile("our.crt", authority_.cert()).c_str());
  const auto status = [&](const char* path, const std::string& token) {
    const auto page = https.Get(
        path, token.empty() ? httplib::Headers()
                            : httplib::Headers{{"Authorization", "Bearer sluice_" + token}});
    return page ? page->status : -1;
  };
  EXPECT_EQ(status("/metrics", ""), 200);
  EXPECT_EQ(status("/readyz", ""), 200);
  EXPECT_EQ(status("/metrics/topics", ""), 401);
  EXPECT_EQ(status("/metrics/topics", "a"), 403);
  EXPECT_EQ(status("/metrics/topics", "prometheus"), 200);
  EXPECT_EQ(status("/metrics/subscriptions?page=x", "prometheus"), 400);
}

}  // namespace
}  // namespace sluice::server
