// Certificates from files: what fits together is taken, anything else leaves what there is.

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "server/security/tls/certificates.h"
#include "server/security/tls/exposure.h"
#include "tests/support/pki.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class CertificatesTest : public testing::Test {
 protected:
  void Use(const Issued& issued) {
    options_.cert = folder_.Write("tls.crt", issued.cert);
    options_.key = folder_.Write("tls.key", issued.key);
  }
  std::string Wrong() const {
    auto read = Certificates::Read(options_, absl::Now());
    if (read.ok()) return "accepted";
    EXPECT_EQ(ReasonOf(read.status()), Reason::kInvalidConfig);
    return std::string(read.status().message());
  }

  TempFolder folder_;
  const Authority authority_{"our CA"};
  TlsOptions options_;
};

TEST_F(CertificatesTest, APairSaysWhoseItIsAndUntilWhen) {
  Use(authority_.Issue({.name = "sluice.example"}));
  auto read = Certificates::Read(options_, absl::Now());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->subject, "CN=sluice.example");
  EXPECT_NEAR(absl::ToDoubleSeconds(read->expires - absl::Now()), 3600, 60);
}

TEST_F(CertificatesTest, WhatDoesNotServeIsToldWithItsFile) {
  EXPECT_EQ(Wrong(), "tls.cert: : is required with tls.key and tls.client_ca");
  const Issued good = authority_.Issue({});
  Use(good);
  EXPECT_EQ(Wrong(), "accepted");
  options_.key = folder_.Write("tls.key", authority_.Issue({}).key);
  EXPECT_THAT(Wrong(), HasSubstr("tls.key: it is not the key of"));
  options_.key = folder_.Write("tls.key", "no key");
  EXPECT_THAT(Wrong(), HasSubstr("there is no private key"));
  options_.key = folder_.path() + "/none";
  EXPECT_THAT(Wrong(), HasSubstr("none: cannot be read"));
  Use(good);
  options_.cert = folder_.Write("tls.crt", good.key);
  EXPECT_THAT(Wrong(), HasSubstr("there is no certificate"));
  Use(authority_.Issue({.valid_from = -7200, .valid_until = -3600}));
  EXPECT_THAT(Wrong(), HasSubstr("it expired at"));
  Use(authority_.Issue({.for_servers = false}));
  EXPECT_THAT(Wrong(), HasSubstr("it is not for servers"));
  Use(good);
  options_.client_auth = ClientAuth::kRequire;
  EXPECT_THAT(Wrong(), HasSubstr("tls.client_ca: : is required"));
  options_.client_ca = folder_.Write("ca.crt", "nothing");
  EXPECT_THAT(Wrong(), HasSubstr("ca.crt: there is no certificate"));
  options_.client_ca = folder_.Write("ca.crt", authority_.cert());
  EXPECT_EQ(Wrong(), "accepted");
}

TEST_F(CertificatesTest, ABrokenPairLeavesTheOneBefore) {
  Use(authority_.Issue({.name = "first"}));
  auto store = CertificateStore::Open(options_, absl::Now());
  ASSERT_TRUE(store.ok());
  const Issued second = authority_.Issue({.name = "second"});
  // As it is between the writing of two files.
  folder_.Write("tls.crt", second.cert);
  EXPECT_FALSE((*store)->Reload(absl::Now()).ok());
  EXPECT_EQ((*store)->current()->subject, "CN=first");
  folder_.Write("tls.key", second.key);
  EXPECT_TRUE((*store)->Reload(absl::Now()).ok());
  EXPECT_EQ((*store)->current()->subject, "CN=second");
}

TEST(ExposureTest, PlainTextIsForThisMachineUnlessItIsMeantSo) {
  const auto refused = [](const std::string& address, bool tls, bool insecure) {
    return ReasonOf(CheckExposure("listen", address, tls, insecure)) == Reason::kInvalidConfig;
  };
  for (const char* address : {"127.0.0.1:8085", "localhost:0", "[::1]:8085", "127.1.2.3:1"}) {
    EXPECT_FALSE(refused(address, false, false)) << address;
  }
  for (const char* address : {"0.0.0.0:8085", "[::]:8085", "10.0.0.7:8085", "example.com:1",
                              "localhost.example.com:1", "*:1"}) {
    EXPECT_TRUE(refused(address, false, false)) << address;
    EXPECT_FALSE(refused(address, true, false)) << address;
    EXPECT_FALSE(refused(address, false, true)) << address;
  }
}

}  // namespace
}  // namespace sluice::server
