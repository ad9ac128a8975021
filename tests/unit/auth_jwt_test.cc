// JSON Web Tokens: what is accepted, and each way in which one is not.
#include <openssl/hmac.h>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "server/security/auth/jwt.h"
#include "tests/support/pki.h"

namespace sluice::server {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const JwtRules kRules = {.issuer = "https://issuer.example", .audience = "sluice"};

Json GoodClaims() {
  return {{"iss", "https://issuer.example"},
          {"aud", "sluice"},
          {"sub", "alice"},
          {"exp", 1'800'000'600}};
}

// "OK alice", or the reason and the text.
std::string Checked(const std::string& token, const std::string& keys,
                    const JwtRules& rules = kRules) {
  auto parsed = JwtKeys::Parse(keys);
  if (!parsed.ok()) return "keys: " + std::string(parsed.status().message());
  bool unknown = false;
  auto claims = CheckJwt(token, **parsed, rules, kNow, &unknown);
  if (claims.ok()) return "OK " + claims->identity;
  return std::string(ReasonName(*ReasonOf(claims.status()))) + ": " +
         std::string(claims.status().message()) + (unknown ? " (unknown key)" : "");
}

class JwtTest : public testing::Test {
 protected:
  std::string WithClaim(const char* name, const Json& value) const {
    Json claims = GoodClaims();
    claims[name] = value;
    return Checked(key_.Sign(claims), keys_);
  }
  std::string Without(const char* name) const {
    Json claims = GoodClaims();
    claims.erase(name);
    return Checked(key_.Sign(claims), keys_);
  }

  const SigningKey key_ = SigningKey::Ec("k1");
  const std::string keys_ = KeySetOf({key_});
};

TEST_F(JwtTest, EachAlgorithmIsAcceptedWithItsKey) {
  for (const SigningKey& key : {SigningKey::Rsa("a"), SigningKey::Ec("a"), SigningKey::Ed("a")}) {
    EXPECT_EQ(Checked(key.Sign(GoodClaims()), KeySetOf({key})), "OK alice") << key.PublicJwk();
  }
}

TEST_F(JwtTest, ASignatureOfAnotherKeyIsRefused) {
  for (const auto& [mine, other] : {std::pair(SigningKey::Rsa("a"), SigningKey::Rsa("a")),
                                    std::pair(SigningKey::Ec("a"), SigningKey::Ec("a")),
                                    std::pair(SigningKey::Ed("a"), SigningKey::Ed("a"))}) {
    EXPECT_EQ(Checked(other.Sign(GoodClaims()), KeySetOf({mine})),
              "CREDENTIALS_INVALID: the token's signature is wrong");
  }
}

TEST_F(JwtTest, ChangedClaimsAreRefused) {
  const std::string token = key_.Sign(GoodClaims());
  Json claims = GoodClaims();
  claims["sub"] = "root";
  const size_t first = token.find('.');
  const size_t second = token.find('.', first + 1);
  EXPECT_THAT(
      Checked(token.substr(0, first + 1) + Base64Url(claims.dump()) + token.substr(second), keys_),
      HasSubstr("signature is wrong"));
}

TEST_F(JwtTest, AlgorithmNoneIsRefused) {
  const std::string token =
      Base64Url(R"({"alg":"none","kid":"k1"})") + "." + Base64Url(GoodClaims().dump()) + ".";
  EXPECT_EQ(Checked(token, keys_),
            "CREDENTIALS_INVALID: the token is signed with an algorithm that is not accepted");
}

TEST_F(JwtTest, AnHmacWithThePublicKeyIsRefused) {
  const SigningKey rsa = SigningKey::Rsa("k1");
  const std::string text =
      Base64Url(R"({"alg":"HS256","kid":"k1"})") + "." + Base64Url(GoodClaims().dump());
  const std::string secret = PublicPemOf(rsa.key());
  unsigned char mac[32];
  unsigned size = sizeof mac;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  EXPECT_THAT(
      Checked(text + "." + Base64Url({reinterpret_cast<char*>(mac), size}), KeySetOf({rsa})),
      HasSubstr("an algorithm that is not accepted"));
}

TEST_F(JwtTest, AKeyIsUsedWithItsOwnAlgorithmOnly) {
  EXPECT_THAT(Checked(key_.Sign({{"alg", "RS256"}, {"kid", "k1"}}, GoodClaims()), keys_),
              HasSubstr("(unknown key)"));
}

TEST_F(JwtTest, AnUnknownKeyIsToldApart) {
  EXPECT_EQ(Checked(SigningKey::Ec("k2").Sign(GoodClaims()), keys_),
            "CREDENTIALS_INVALID: the token is signed with a key that is not known (unknown key)");
  // Without an id it must be clear which key is meant.
  EXPECT_EQ(Checked(key_.Sign({{"alg", "ES256"}}, GoodClaims()), keys_), "OK alice");
  EXPECT_THAT(
      Checked(key_.Sign({{"alg", "ES256"}}, GoodClaims()), KeySetOf({key_, SigningKey::Ec("k2")})),
      HasSubstr("(unknown key)"));
}

TEST_F(JwtTest, TimesAreHeldWithSomeSkew) {
  EXPECT_EQ(WithClaim("exp", 1'800'000'000 - 29), "OK alice");
  EXPECT_EQ(WithClaim("exp", 1'800'000'000 - 30), "CREDENTIALS_EXPIRED: the token has expired");
  EXPECT_EQ(Without("exp"), "CREDENTIALS_INVALID: the token does not say when it expires");
  EXPECT_THAT(WithClaim("exp", "soon"), HasSubstr("does not say when it expires"));
  EXPECT_THAT(WithClaim("exp", 1e300), HasSubstr("does not say when it expires"));
  EXPECT_EQ(WithClaim("nbf", 1'800'000'000 + 30), "OK alice");
  EXPECT_EQ(WithClaim("nbf", 1'800'000'000 + 31),
            "CREDENTIALS_INVALID: the token is not valid yet");
  EXPECT_THAT(WithClaim("nbf", "never"), HasSubstr("not valid yet"));
}

TEST_F(JwtTest, IssuerAudienceAndNameMustBeRight) {
  EXPECT_EQ(WithClaim("iss", "https://other.example"),
            "CREDENTIALS_INVALID: the token is of an issuer that is not accepted");
  EXPECT_THAT(Without("iss"), HasSubstr("issuer"));
  EXPECT_EQ(WithClaim("aud", "other"), "CREDENTIALS_INVALID: the token is for another audience");
  EXPECT_EQ(WithClaim("aud", Json::array({"other", "sluice"})), "OK alice");
  EXPECT_THAT(WithClaim("aud", Json::array({"other", 7})), HasSubstr("audience"));
  EXPECT_THAT(Without("aud"), HasSubstr("audience"));
  EXPECT_THAT(Without("sub"), HasSubstr("does not say who"));
  EXPECT_THAT(WithClaim("sub", 7), HasSubstr("does not say who"));
  EXPECT_THAT(WithClaim("sub", std::string(257, 'a')), HasSubstr("too many words"));
  EXPECT_THAT(WithClaim("sub", "alice*"), HasSubstr("characters"));
  EXPECT_THAT(WithClaim("sub", "alice\nroot"), HasSubstr("characters"));
}

TEST_F(JwtTest, AnotherClaimMaySayWhoItIs) {
  JwtRules rules = kRules;
  rules.identity_claim = "email";
  Json claims = GoodClaims();
  claims["email"] = "alice@example.com";
  EXPECT_EQ(Checked(key_.Sign(claims), keys_, rules), "OK alice@example.com");
}

TEST_F(JwtTest, GarbageIsRefused) {
  const std::string good = key_.Sign(GoodClaims());
  for (const std::string& token :
       {std::string(), std::string("..."), std::string("a.b"), std::string("a.b.c"), good + ".x",
        good.substr(0, good.size() - 4), good + "=", "!" + good, std::string(9000, 'a'),
        Base64Url("[]") + ".e30.e30", Base64Url(std::string(4000, '[')) + ".e30.e30"}) {
    EXPECT_THAT(Checked(token, keys_), HasSubstr("CREDENTIALS_INVALID")) << token;
  }
  EXPECT_THAT(Checked(key_.Sign({{"alg", "ES256"}, {"kid", "k1"}, {"crit", Json::array({"x"})}},
                                GoodClaims()),
                      keys_),
              HasSubstr("critical"));
}

TEST_F(JwtTest, KeysThatDoNotServeAreLeftOut) {
  Json set = Json::parse(KeySetOf({key_, SigningKey::Rsa("weak", 1024)}));
  set["keys"].push_back({{"kty", "oct"}, {"kid", "secret"}, {"k", "c2VjcmV0"}});
  set["keys"].push_back({{"kty", "EC"}, {"kid", "p384"}, {"crv", "P-384"}});
  set["keys"].push_back({{"kty", "EC"},
                         {"kid", "off-curve"},
                         {"crv", "P-256"},
                         {"x", Base64Url(std::string(32, 'x'))},
                         {"y", Base64Url(std::string(32, 'y'))}});
  Json for_encryption = SigningKey::Ec("enc").PublicJwk();
  for_encryption["use"] = "enc";
  set["keys"].push_back(for_encryption);
  set["keys"].push_back(7);
  auto keys = JwtKeys::Parse(set.dump());
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ((*keys)->size(), 1);
  for (const char* bad : {"", "{}", "[]", R"({"keys":7})", R"({"keys":[]})",
                          R"({"keys":[{"kty":"oct","k":"eA"}]})"}) {
    EXPECT_EQ(ReasonOf(JwtKeys::Parse(bad).status()), Reason::kInvalidConfig) << bad;
  }
}

}  // namespace
}  // namespace sluice::server
