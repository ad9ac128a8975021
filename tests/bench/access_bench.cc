// What a call costs where callers are asked who they are: a JWT that is new and one that is known,
// a right that is looked up.
//
//   build/release/bin/access_bench
#include <cstdlib>

#include "benchmark/benchmark.h"
#include "fmt/format.h"
#include "server/security/auth/access.h"
#include "tests/support/pki.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

constexpr char kTopic[] = "projects/team-50/topics/orders";

// A hundred teams with a binding each, and one key.
class Setup {
 public:
  Setup() {
    std::string policy = "bindings:\n";
    for (int i = 0; i < 100; ++i) {
      policy += fmt::format(
          "  - {{role: editor, members: [\"jwt:service-{}\"], resources: [projects/team-{}/*]}}\n",
          i, i);
    }
    options_.policy_file = folder_.Write("policy.yaml", policy);
    options_.jwt_keys = folder_.Write("keys.json", KeySetOf({key_}));
    options_.jwt_issuer = "https://issuer.example";
    options_.jwt_audience = "sluice";
    audit_ = *AuditLog::Open({}, clock_, metrics_);
    access_ = *Access::Create(options_, clock_, *audit_, metrics_);
    authenticator_ = *Authenticator::Create(options_, clock_, metrics_);
  }
  Authenticator& authenticator() { return *authenticator_; }
  Access& access() { return *access_; }
  std::string Bearer(int number) const {
    return "Bearer " + key_.Sign({{"iss", "https://issuer.example"},
                                  {"aud", "sluice"},
                                  {"sub", "service-50"},
                                  {"jti", number},
                                  {"exp", absl::ToUnixSeconds(absl::Now()) + 3600}});
  }

 private:
  TempFolder folder_;
  SystemClock clock_;
  SecurityMetrics metrics_;
  const SigningKey key_ = SigningKey::Ec("k1");
  AuthOptions options_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<Access> access_;
  std::unique_ptr<Authenticator> authenticator_;
};

void NewJwt(benchmark::State& state) {
  Setup setup;
  int number = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const std::string bearer = setup.Bearer(++number);
    state.ResumeTiming();
    if (!setup.authenticator().Identify({bearer, "", "ipv4:127.0.0.1:1"}).ok()) std::abort();
  }
}
BENCHMARK(NewJwt);

void KnownJwtAndRight(benchmark::State& state) {
  Setup setup;
  const std::string bearer = setup.Bearer(1);
  for (auto _ : state) {
    auto identity = setup.authenticator().Identify({bearer, "", "ipv4:127.0.0.1:1"});
    const Caller caller{*std::move(identity), "ipv4:127.0.0.1:1", {}};
    if (!setup.access().Allowed(caller, Right::kTopicsPublish, kTopic)) std::abort();
  }
}
BENCHMARK(KnownJwtAndRight)->ThreadRange(1, 2);

}  // namespace
}  // namespace sluice::server
