#include "client/cli/session.h"

#include "client/cli/commands/commands.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "core/base/error.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

namespace sluice::cli {
namespace {

std::string_view AdviceFor(const absl::Status& status, const Session&) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return "is sluiced running there? --server says where to look";
    case absl::StatusCode::kDeadlineExceeded:
      return "the server did not answer in time; --timeout gives it more";
    case absl::StatusCode::kUnauthenticated:
      return "--token-file names a token, --cert and --key a certificate; `sluice doctor` looks at "
             "all of it";
    case absl::StatusCode::kPermissionDenied:
      return "`sluice doctor` says whom the server takes you for; its administrator gives rights";
    case absl::StatusCode::kNotFound:
      if (ReasonOf(status) == Reason::kBackupNotFound) return "";
      return "`sluice topic list` and `sluice sub list` show what there is; --project says in "
             "which project";
    default:
      return "";
  }
}

}  // namespace

absl::Status Session::Prepare() {
  connection.server = server;
  tls |= !tls_files.ca.empty() || !tls_files.cert.empty();
  if (tls) {
    auto credentials = client::TlsFromFiles(tls_files);
    // Nothing of the server's is missing.
    if (!credentials.ok()) return absl::InvalidArgumentError(credentials.status().message());
    connection.credentials = *std::move(credentials);
  }
  if (token.empty() && token_file.empty()) return absl::OkStatus();
  const std::string host = server.substr(0, server.rfind(':'));
  if (!tls && host != "localhost" && host != "[::1]" && host.compare(0, 4, "127.") != 0) {
    return absl::InvalidArgumentError(
        fmt::format("--token-file: it would be sent to {} in plain text, for everybody on the way "
                    "to read; use --tls",
                    server));
  }
  if (!token.empty()) {
    connection.token = [token = token] { return token; };
    return absl::OkStatus();
  }
  if (!std::ifstream(token_file)) {
    return absl::InvalidArgumentError(
        absl::ErrnoToStatus(errno, "--token-file: cannot read " + token_file).message());
  }
  connection.token = client::TokenFromFile(token_file);
  return absl::OkStatus();
}

nlohmann::ordered_json ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return {};
  return nlohmann::ordered_json::parse(text);
}

int Report(const Session& session, const absl::Status& status) {
  if (status.ok()) return kOk;
  const auto reason = ReasonOf(status);
  const std::string name =
      reason ? std::string(ReasonName(*reason)) : absl::StatusCodeToString(status.code());
  const std::string text(status.message());
  const std::string_view advice = AdviceFor(status, session);
  if (session.json) {
    nlohmann::ordered_json out = {
        {"error", {{"reason", name}, {"message", text}, {"advice", advice}}}};
    for (const auto& [key, value] : MetadataOf(status)) out["error"]["metadata"][key] = value;
    fmt::print(stderr, "{}\n", out.dump());
  } else {
    fmt::print(stderr, "sluice: {}: {}{}{}\n", name, text, advice.empty() ? "" : " - ", advice);
  }
  if (status.code() == absl::StatusCode::kNotFound) return kMissing;
  if (status.code() == absl::StatusCode::kUnavailable ||
      status.code() == absl::StatusCode::kDeadlineExceeded) {
    return kUnavailable;
  }
  return kFailed;
}

Progress::Progress(std::string label)
    : label_(std::move(label)), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (terminal_ && drawn_ != absl::InfinitePast()) fmt::print(stderr, "\r\033[K");
}

void Progress::Show(double share, std::string_view detail) {
  if (!terminal_ || absl::Now() - drawn_ < absl::Milliseconds(100)) return;
  drawn_ = absl::Now();
  constexpr int kWidth = 30;
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * kWidth);
  fmt::print(stderr, "\r\033[K{} [{}{}] {:3.0f} % {}", label_,
             std::string(static_cast<size_t>(full), '='),
             std::string(static_cast<size_t>(kWidth - full), ' '), share * 100, detail);
  std::fflush(stderr);
}

void SetDuration(const std::string& flag, const std::string& text,
                 google::protobuf::Duration* out) {
  const absl::Duration d = ParseDurationOrThrow(flag, text);
  out->set_seconds(absl::ToInt64Seconds(d));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(d - absl::Seconds(out->seconds()))));
}

}  // namespace sluice::cli
