// sluice doctor: whether all is well between here and the server, and what to do where it is not.
#include <grpc/grpc_security_constants.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <optional>
#include <vector>

#include "client/cli/commands/commands.h"
#include "client/cpp/status.h"
#include "core/base/version.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kLargestSkew = absl::Seconds(5);
constexpr absl::Duration kExpirySoon = absl::Hours(24 * 14);
// Below this much a store is soon full.
constexpr double kLeastFreeShare = 0.1;

enum class Verdict { kGood, kWarning, kBad };

struct Finding {
  Verdict verdict;
  std::string check;
  std::string what;
  std::string advice;
};

// When the server's certificate ends, as the connection of a call shows it; nothing over plain
// text.
std::optional<absl::Time> ExpiryOf(const grpc::ClientContext& call) {
  const auto auth = call.auth_context();
  const auto pem = auth != nullptr ? auth->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME)
                                   : std::vector<grpc::string_ref>();
  if (pem.empty()) return std::nullopt;
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(pem[0].data(), static_cast<int>(pem[0].size())), &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), &X509_free);
  std::tm tm = {};
  if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &tm) != 1)
    return std::nullopt;
  return absl::FromTM(tm, absl::UTCTimeZone());
}

class Doctor {
 public:
  explicit Doctor(const Session& session) : session_(session) {}

  std::vector<Finding> Examine() {
    const auto connection = session_.Connect();
    const auto stub = v1::Admin::NewStub(connection->channel());
    grpc::ClientContext call;
    call.set_deadline(absl::ToChronoTime(absl::Now() + session_.timeout));
    const absl::Time before = absl::Now();
    const absl::Status status =
        client::FromGrpc(stub->GetServerInfo(&call, v1::GetServerInfoRequest(), &info_));
    const absl::Time after = absl::Now();
    CheckConnection(status, after - before);
    CheckCertificate(call);
    if (!status.ok()) return std::move(findings_);
    CheckVersion();
    CheckClock(before, after);
    CheckRights();
    CheckStore();
    return std::move(findings_);
  }

 private:
  void Add(Verdict verdict, std::string check, std::string what, std::string advice = "") {
    findings_.push_back({verdict, std::move(check), std::move(what), std::move(advice)});
  }

  void CheckConnection(const absl::Status& status, absl::Duration took) {
    const std::string text(status.message());
    switch (status.code()) {
      case absl::StatusCode::kOk:
        return Add(Verdict::kGood, "connection",
                   fmt::format("{} answers in {}", session_.server,
                               absl::FormatDuration(absl::Trunc(took, absl::Microseconds(100)))));
      case absl::StatusCode::kUnauthenticated:
        return Add(Verdict::kBad, "credentials", text,
                   "--token-file names a token, --cert and --key a certificate");
      case absl::StatusCode::kUnavailable:
        return Add(Verdict::kBad, "connection", fmt::format("{}: {}", session_.server, text),
                   session_.tls
                       ? "does sluiced run there, does it speak TLS, and is --ca its authority?"
                       : "does sluiced run there? if it speaks TLS, say --tls and --ca");
      case absl::StatusCode::kUnimplemented:
        return Add(Verdict::kBad, "version", "the server does not know this call",
                   "it is older than this tool, or no sluiced");
      default:
        return Add(Verdict::kBad, "connection", fmt::format("{}: {}", session_.server, text),
                   "a firewall in between?");
    }
  }

  void CheckCertificate(const grpc::ClientContext& call) {
    if (!session_.tls) return Add(Verdict::kGood, "certificate", "none: plain text");
    const auto expiry = ExpiryOf(call);
    if (!expiry) return;
    const absl::Duration left = *expiry - absl::Now();
    const std::string when = absl::FormatTime("%Y-%m-%d", *expiry, absl::UTCTimeZone());
    left < kExpirySoon ? Add(Verdict::kWarning, "certificate", "the server's expires on " + when,
                             "renew it; the server reads it by itself")
                       : Add(Verdict::kGood, "certificate", "the server's is good until " + when);
  }

  void CheckVersion() {
    info_.version() == kVersion
        ? Add(Verdict::kGood, "version", fmt::format("client {0}, server {0}", kVersion))
        : Add(Verdict::kWarning, "version",
              fmt::format("{} here, {} there", kVersion, info_.version()),
              "what only one of them knows will not work");
  }

  void CheckClock(absl::Time before, absl::Time after) {
    const absl::Time there =
        absl::FromUnixSeconds(info_.time().seconds()) + absl::Nanoseconds(info_.time().nanos());
    const absl::Duration off = there < before  ? there - before
                               : there > after ? there - after
                                               : absl::ZeroDuration();
    const bool equal = absl::AbsDuration(off) < absl::Milliseconds(1);
    const std::string what =
        equal ? "the server's is the same"
              : fmt::format("the server's is {} off",
                            absl::FormatDuration(absl::Trunc(off, absl::Milliseconds(1))));
    absl::AbsDuration(off) > kLargestSkew
        ? Add(Verdict::kWarning, "clock", what,
              "set the clocks (NTP): tokens and retention go by them")
        : Add(Verdict::kGood, "clock", what);
  }

  void CheckRights() {
    const std::string who = info_.identity().empty()
                                ? "authentication is off"
                                : "the server takes you for " + info_.identity();
    const absl::Status status =
        session_.OpenAdmin().ListTopics("projects/" + session_.project).status();
    status.ok() ? Add(Verdict::kGood, "rights", who)
                : Add(Verdict::kWarning, "rights",
                      fmt::format("{}; {}", who, std::string(status.message())),
                      "--project says in which project; its administrator gives rights");
  }

  void CheckStore() {
    if (!info_.has_store()) return Add(Verdict::kGood, "store", "not shown to you");
    const v1::StoreInfo& store = info_.store();
    if (!store.writable())
      return Add(Verdict::kBad, "store", "it takes no writes",
                 "the server's log says why: a full or a broken disk");
    const auto free = static_cast<double>(store.disk_free_bytes());
    const auto used = static_cast<double>(store.disk_bytes());
    const bool memory = store.durability() == "memory";
    const std::string what = memory ? "in memory"
                                    : fmt::format("{}, {:.1f} GB used, {:.1f} GB free",
                                                  store.durability(), used / 1e9, free / 1e9);
    !memory&& free < kLeastFreeShare*(free + used)
        ? Add(Verdict::kWarning, "store", what, "make room: a full disk refuses publishes")
        : Add(Verdict::kGood, "store", what);
  }

  const Session& session_;
  v1::GetServerInfoResponse info_;
  std::vector<Finding> findings_;
};

int RunDoctor(const Session& session) {
  static constexpr const char* kWords[] = {"ok", "warning", "bad"};
  const std::vector<Finding> findings = Doctor(session).Examine();
  auto all = nlohmann::ordered_json::array();
  bool bad = false;
  for (const Finding& finding : findings) {
    const char* word = kWords[static_cast<size_t>(finding.verdict)];
    bad |= finding.verdict == Verdict::kBad;
    all.push_back({{"verdict", word},
                   {"check", finding.check},
                   {"what", finding.what},
                   {"advice", finding.advice}});
    if (session.json) continue;
    fmt::print("{:<8} {:<12} {}{}{}\n", word, finding.check, finding.what,
               finding.advice.empty() ? "" : " - ", finding.advice);
  }
  if (session.json) fmt::print("{}\n", all.dump());
  return bad ? kFailed : kOk;
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Run* run) {
  CLI::App* doctor = app.add_subcommand(
      "doctor", "Check connection, certificate, version, clock, permissions and store");
  doctor->footer(
      "Example:\n  sluice doctor --server=sluice.example.com:8085 --ca=ca.crt --token-file=token");
  doctor->callback([=] { *run = RunDoctor; });
}

}  // namespace sluice::cli
