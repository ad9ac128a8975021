// What every command shares: the server, the project, the form of the output, and how errors are
// told.
//
// Thread rule: for the main thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/admin.h"
#include "client/cpp/connection.h"
#include "client/cpp/credentials.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace sluice::cli {

// Exit codes.
enum Exit { kOk = 0, kFailed = 1, kUsage = 2, kMissing = 3, kUnavailable = 4 };

struct Session {
  std::string server = "127.0.0.1:8085";
  std::string project = "local";
  bool tls = false;
  client::TlsFiles tls_files;
  std::string token_file;
  // Itself; beats the file.
  std::string token;
  bool json = false;
  absl::Duration timeout = absl::Seconds(10);
  // What the above makes of it.
  client::ConnectionOptions connection;

  // Makes `connection`: before anything connects. Errors of the files, and for a token that would
  // travel in plain text.
  absl::Status Prepare();
  std::shared_ptr<client::Connection> Connect() const {
    return client::Connection::Open(connection);
  }
  client::Admin OpenAdmin() const { return client::Admin(Connect(), timeout); }

  // "orders" becomes "projects/P/topics/orders"; a full name stays as it is.
  std::string TopicName(const std::string& name) const { return FullName(name, "topics"); }
  std::string SubscriptionName(const std::string& name) const {
    return FullName(name, "subscriptions");
  }
  std::string SnapshotName(const std::string& name) const { return FullName(name, "snapshots"); }

 private:
  std::string FullName(const std::string& name, const std::string& collection) const {
    if (name.find('/') != std::string::npos) return name;
    return "projects/" + project + "/" + collection + "/" + name;
  }
};

// A message as JSON, with the names of the .proto file.
nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

// Says on stderr what went wrong, with its reason and advice, and gives the exit code.
int Report(const Session& session, const absl::Status& status);

// On a terminal only: a bar that is drawn over itself. Nothing otherwise.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  // `share` from 0 to 1; drawn at most ten times a second.
  void Show(double share, std::string_view detail);

 private:
  const std::string label_;
  const bool terminal_;
  absl::Time drawn_ = absl::InfinitePast();
};

}  // namespace sluice::cli
