// Who calls: API tokens, JWTs with keys from a file or a URL, certificates, and what becomes of
// failures.
#include <future>
#include <thread>

#include "absl/strings/match.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "server/security/auth/authenticator.h"
#include "server/security/auth/fetch.h"
#include "server/security/auth/key_source.h"
#include "tests/support/http_endpoint.h"
#include "tests/support/pki.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

class CallerTest : public testing::Test {
 protected:
  std::string TokensFile(const std::string& token, const std::string& more = "") {
    return folder_.Write("tokens.yaml", "tokens:\n  - {name: ci, hash: \"sha256:" +
                                            Hex(ApiTokens::HashOf(token)) + "\"" + more + "}\n");
  }
  void Create() {
    auto made = Authenticator::Create(options_, clock_, metrics_);
    ASSERT_TRUE(made.ok()) << std::string(made.status().message());
    authenticator_ = *std::move(made);
  }
  // The principal, or the reason and the text.
  std::string Who(std::optional<std::string_view> header, std::string_view certificate = "",
                  std::string_view peer = "ipv4:10.0.0.7:1234") {
    auto identity = authenticator_->Identify({header, certificate, peer});
    if (identity.ok()) return (*identity)->principal;
    return std::string(ReasonName(*ReasonOf(identity.status()))) + ": " +
           std::string(identity.status().message());
  }

  TempFolder folder_;
  ManualClock clock_;
  SecurityMetrics metrics_;
  AuthOptions options_;
  std::unique_ptr<Authenticator> authenticator_;
};

TEST_F(CallerTest, AnApiTokenIsItsName) {
  options_.tokens_file = TokensFile("sluice_secret");
  Create();
  EXPECT_EQ(Who("Bearer sluice_secret"), "token:ci");
  EXPECT_EQ(Who("bearer sluice_secret"), "token:ci");
  EXPECT_EQ(Who(std::nullopt), "anonymous");
  EXPECT_EQ(Who("Bearer sluice_other"), "CREDENTIALS_INVALID: the API token is not known");
  EXPECT_EQ(Who("Basic c2VjcmV0"),
            "CREDENTIALS_INVALID: authorization: must be Bearer and a token");
  EXPECT_EQ(Who("Bearer e30.e30.e30"), "CREDENTIALS_INVALID: the token is not known")
      << "no JWT is accepted without keys";
  EXPECT_EQ(Who("Bearer " + std::string(9000, 'x')), "CREDENTIALS_INVALID: the token is too long");
  EXPECT_EQ(Who(""), "CREDENTIALS_INVALID: authorization: must be Bearer and a token");
}

TEST_F(CallerTest, AnApiTokenExpires) {
  const std::string end =
      absl::FormatTime(absl::RFC3339_full, clock_.WallNow() + absl::Hours(1), absl::UTCTimeZone());
  options_.tokens_file = TokensFile("sluice_secret", ", expires: \"" + end + "\"");
  Create();
  ASSERT_EQ(Who("Bearer sluice_secret"), "token:ci");
  const auto identity = *authenticator_->Identify({"Bearer sluice_secret", "", ""});
  EXPECT_TRUE(authenticator_->StillValid(*identity).ok());
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Who("Bearer sluice_secret"), "CREDENTIALS_EXPIRED: the API token has expired")
      << "also when it was known";
  EXPECT_EQ(ReasonOf(authenticator_->StillValid(*identity)), Reason::kCredentialsExpired);
}

TEST_F(CallerTest, ATokenThatWasTakenAwayIsNoLongerGood) {
  options_.tokens_file = TokensFile("sluice_secret");
  Create();
  const auto identity = *authenticator_->Identify({"Bearer sluice_secret", "", ""});
  TokensFile("sluice_new");
  ASSERT_TRUE(authenticator_->ReloadTokens().ok());
  EXPECT_EQ(Who("Bearer sluice_secret"), "CREDENTIALS_INVALID: the API token is not known");
  EXPECT_EQ(Who("Bearer sluice_new"), "token:ci");
  EXPECT_EQ(ReasonOf(authenticator_->StillValid(*identity)), Reason::kCredentialsInvalid);
  // A broken file leaves what there is.
  folder_.Write("tokens.yaml", "tokens: [");
  EXPECT_FALSE(authenticator_->ReloadTokens().ok());
  EXPECT_EQ(Who("Bearer sluice_new"), "token:ci");
}

TEST_F(CallerTest, ATokensFileIsHeldToItsForm) {
  const auto wrong = [](const std::string& text) {
    auto tokens = ApiTokens::Parse(text, "tokens.yaml");
    return tokens.ok() ? "accepted" : std::string(tokens.status().message());
  };
  const std::string hash = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(wrong("tokens: []"), "accepted");
  EXPECT_EQ(wrong(""), "accepted");
  EXPECT_EQ(wrong("tokens:\n  - {hash: \"" + hash + "\"}"),
            "tokens.yaml:2: tokens[0].name: is missing");
  EXPECT_THAT(wrong("tokens:\n  - {name: ci, hash: secret}"),
              HasSubstr("tokens[0].hash: must be sha256:"));
  EXPECT_THAT(wrong("tokens:\n  - {name: ci, hash: \"" + hash + "\", expires: soon}"),
              HasSubstr("expires: must be a time"));
  EXPECT_THAT(wrong("tokens:\n  - {name: ci, token: x}"), HasSubstr("token is not known"));
  const std::string one = "  - {name: ci, hash: \"" + hash + "\"}\n";
  EXPECT_THAT(wrong("tokens:\n" + one + one),
              HasSubstr("tokens.yaml:3: tokens[1].hash: is there twice"));
  EXPECT_THAT(wrong("tokens: 7"), HasSubstr("must be a list"));
}

TEST_F(CallerTest, WhoFailsOftenHasToWaitButNotWhoIsKnown) {
  options_.tokens_file = TokensFile("sluice_secret");
  Create();
  ASSERT_EQ(Who("Bearer sluice_secret"), "token:ci");
  for (int i = 0; i < 11; ++i) EXPECT_THAT(Who("Bearer sluice_guess"), HasSubstr("not known")) << i;
  EXPECT_THAT(Who("Bearer sluice_guess"), HasSubstr("TOO_MANY_FAILURES"));
  EXPECT_EQ(Who("Bearer sluice_secret"), "token:ci");
  EXPECT_THAT(Who("Bearer sluice_guess", "", "ipv4:10.0.0.8:1234"), HasSubstr("not known"))
      << "another address";
  EXPECT_THAT(Who("Bearer sluice_guess", "", "ipv4:10.0.0.7:99"), HasSubstr("TOO_MANY_FAILURES"))
      << "another port";
  clock_.Advance(absl::Seconds(2));
  EXPECT_THAT(Who("Bearer sluice_guess"), HasSubstr("not known"));
}

TEST_F(CallerTest, ACertificateSaysWhoItIsWhereThatIsWanted) {
  options_.certificates = true;
  Create();
  EXPECT_EQ(Who(std::nullopt, "spiffe://example.com/billing"), "cert:spiffe://example.com/billing");
  EXPECT_EQ(Who(std::nullopt, "spiffe://example.com/billing"), "cert:spiffe://example.com/billing");
  EXPECT_THAT(Who("Bearer sluice_x", "spiffe://example.com/billing"),
              HasSubstr("CREDENTIALS_INVALID"))
      << "who brings a token is whom the token says";
  options_.certificates = false;
  Create();
  EXPECT_EQ(Who(std::nullopt, "spiffe://example.com/billing"), "anonymous");
}

class JwtCallerTest : public CallerTest {
 protected:
  JwtCallerTest() {
    options_.jwt_issuer = "https://issuer.example";
    options_.jwt_audience = "sluice";
  }
  std::string Bearer(const SigningKey& key) {
    return "Bearer " + key.Sign({{"iss", "https://issuer.example"},
                                 {"aud", "sluice"},
                                 {"sub", "alice"},
                                 {"exp", absl::ToUnixSeconds(clock_.WallNow()) + 600}});
  }

  const SigningKey first_ = SigningKey::Ec("first");
  const SigningKey second_ = SigningKey::Ec("second");
};

TEST_F(JwtCallerTest, KeysOfAFileAreReadAgain) {
  options_.jwt_keys = folder_.Write("keys.json", KeySetOf({first_}));
  Create();
  EXPECT_EQ(Who(Bearer(first_)), "jwt:alice");
  EXPECT_THAT(Who(Bearer(second_)), HasSubstr("CREDENTIALS_INVALID"));
  folder_.Write("keys.json", KeySetOf({second_}));
  ASSERT_TRUE(authenticator_->ReloadKeys().ok());
  EXPECT_EQ(Who(Bearer(second_)), "jwt:alice");
  EXPECT_THAT(Who(Bearer(first_)), HasSubstr("CREDENTIALS_INVALID"))
      << "what was known is looked at again";
  folder_.Write("keys.json", "{}");
  EXPECT_THAT(std::string(authenticator_->ReloadKeys().message()),
              HasSubstr("keys.json: the keys are no JSON Web Key Set"));
  EXPECT_EQ(Who(Bearer(second_)), "jwt:alice");
}

TEST_F(JwtCallerTest, KnownTokensExpire) {
  options_.jwt_keys = folder_.Write("keys.json", KeySetOf({first_}));
  Create();
  const std::string bearer = Bearer(first_);
  EXPECT_EQ(Who(bearer), "jwt:alice");
  clock_.Advance(absl::Seconds(630));
  EXPECT_EQ(Who(bearer), "CREDENTIALS_EXPIRED: the token has expired");
}

TEST_F(JwtCallerTest, WhatKeysNeedIsAskedFor) {
  const auto wrong = [&] {
    auto made = Authenticator::Create(options_, clock_, metrics_);
    return made.ok() ? "accepted" : std::string(made.status().message());
  };
  options_.jwt_keys = folder_.path() + "/none.json";
  EXPECT_THAT(wrong(), HasSubstr("none.json: cannot be read"));
  options_.jwt_keys = "http://example.com/keys";
  EXPECT_THAT(wrong(), HasSubstr("must be a file, or a URL with https"));
  options_.jwt_keys = folder_.Write("keys.json", KeySetOf({first_}));
  options_.jwt_audience = "";
  EXPECT_EQ(wrong(), "auth.jwt_audience: is required with auth.jwt_keys");
  options_.jwt_issuer = "";
  EXPECT_EQ(wrong(), "auth.jwt_issuer: is required with auth.jwt_keys");
}

std::string Body(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// A URL of keys, which may be others later.
class Issuer {
 public:
  explicit Issuer(std::string keys) : keys_(std::move(keys)) {}
  void Set(std::string keys) {
    MutexLock lock(mu_);
    keys_ = std::move(keys);
  }
  std::string url() const { return endpoint_.url("/keys"); }
  size_t count() const { return endpoint_.count(); }

 private:
  Mutex mu_;
  std::string keys_ GUARDED_BY(mu_);
  const HttpEndpoint endpoint_{
      [this](const HttpEndpoint::Request&, HttpEndpoint::Connection& connection) {
        MutexLock lock(mu_);
        connection.Send(Body(keys_));
      }};
};

TEST_F(JwtCallerTest, KeysOfAUrlComeWhenATokenNamesANewOne) {
  Issuer issuer(KeySetOf({first_}));
  options_.jwt_keys = issuer.url();
  Create();
  // Until they are there nobody can be told that they are wrong.
  const auto soon = [&](const SigningKey& key) {
    std::string who = Who(Bearer(key));
    for (; absl::StartsWith(who, "KEYS_UNAVAILABLE"); who = Who(Bearer(key)))
      std::this_thread::yield();
    return who;
  };
  EXPECT_EQ(soon(first_), "jwt:alice");
  issuer.Set(KeySetOf({first_, second_}));
  // Asked a moment ago: whoever makes up keys does not make us ask all the time.
  EXPECT_THAT(Who(Bearer(second_)), HasSubstr("CREDENTIALS_INVALID"));
  const size_t asked = issuer.count();
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(soon(second_), "jwt:alice");
  EXPECT_EQ(issuer.count(), asked + 1);
}

TEST_F(JwtCallerTest, KeysThatCameAreNoLongerOnTheirWay) {
  Issuer issuer(KeySetOf({first_}));
  std::promise<KeySource*> source;
  std::promise<bool> first, again;
  const auto made =
      KeySource::Start(issuer.url(), clock_, metrics_,
                       [&, started = static_cast<KeySource*>(nullptr), asked = false]() mutable {
                         if (started == nullptr) started = source.get_future().get();
                         (std::exchange(asked, true) ? again : first)
                             .set_value(started->AskForNewerThan(*started->keys()));
                       });
  ASSERT_TRUE(made.ok());
  source.set_value(made->get());
  EXPECT_FALSE(first.get_future().get());
  const auto known = (*made)->keys();
  issuer.Set(KeySetOf({first_, second_}));
  EXPECT_FALSE((*made)->AskForNewerThan(*known)) << "asked a moment ago";
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE((*made)->AskForNewerThan(*known));
  EXPECT_FALSE(again.get_future().get());
  EXPECT_TRUE((*made)->AskForNewerThan(*known))
      << "whoever looked at the old keys is to look again";
}

TEST_F(JwtCallerTest, AKeyThatIsTakenAwayTakesItsTokensAlong) {
  Issuer issuer(KeySetOf({first_}));
  options_.jwt_keys = issuer.url();
  Create();
  const std::string header = Bearer(first_);
  absl::StatusOr<std::shared_ptr<const Identity>> alice;
  do {
    alice = authenticator_->Identify({header, "", "ipv4:10.0.0.1:1"});
  } while (!alice.ok());
  const uint64_t generation = authenticator_->generation();
  EXPECT_TRUE(authenticator_->StillValid(**alice).ok());
  issuer.Set(KeySetOf({second_}));
  clock_.Advance(absl::Seconds(10));
  // A token with the new key makes us ask.
  while (Who(Bearer(second_)) != "jwt:alice") std::this_thread::yield();
  EXPECT_EQ(authenticator_->StillValid(**alice).message(),
            "the key that the token is signed with is not accepted any more");
  EXPECT_THAT(Who(header), HasSubstr("CREDENTIALS_INVALID"));
  EXPECT_GT(authenticator_->generation(), generation) << "streams are looked at again";
}

TEST_F(JwtCallerTest, WithoutKeysATokenIsNeitherGoodNorBad) {
  const HttpEndpoint issuer(500);
  options_.jwt_keys = issuer.url("/keys");
  Create();
  for (int i = 0; i < 20; ++i)
    EXPECT_THAT(Who(Bearer(first_)), HasSubstr("KEYS_UNAVAILABLE")) << "and it is no failure";
}

TEST(FetchTest, WhatIsSlowHugeOrNotThereIsAnError) {
  const auto fetched = [](const std::string& url) {
    auto body = Fetch(url, {.timeout = absl::Milliseconds(300), .bytes = 100});
    return body.ok() ? *body : std::string(body.status().message());
  };
  const HttpEndpoint good(
      [](const HttpEndpoint::Request&, HttpEndpoint::Connection& c) { c.Send(Body("keys")); });
  EXPECT_EQ(fetched(good.url()), "keys");
  const HttpEndpoint huge([](const HttpEndpoint::Request&, HttpEndpoint::Connection& c) {
    c.Send(Body(std::string(101, 'x')));
  });
  EXPECT_THAT(fetched(huge.url()), HasSubstr("more than 100 bytes"));
  const HttpEndpoint slow(
      [](const HttpEndpoint::Request&, HttpEndpoint::Connection& c) { c.Hang(); });
  EXPECT_THAT(fetched(slow.url()), testing::ContainsRegex("[Tt]ime"));
  const HttpEndpoint moved(302);
  EXPECT_THAT(fetched(moved.url()), HasSubstr("answered 302"));
  EXPECT_THAT(fetched("http://127.0.0.1:1/"), HasSubstr("127.0.0.1"));
}

TEST(FetchTest, OnlyWhatCannotBeChangedOnTheWayIsFetched) {
  EXPECT_TRUE(MayBeFetched("https://example.com/keys"));
  EXPECT_TRUE(MayBeFetched("http://127.0.0.1:8080/keys"));
  EXPECT_TRUE(MayBeFetched("http://localhost/keys"));
  EXPECT_FALSE(MayBeFetched("http://127.0.0.1.example.com/keys"));
  EXPECT_FALSE(MayBeFetched("http://example.com/keys"));
  EXPECT_FALSE(MayBeFetched("file:///etc/passwd"));
}

}  // namespace
}  // namespace sluice::server
