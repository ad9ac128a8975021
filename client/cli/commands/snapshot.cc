// sluice snapshot create|list|describe|delete
#include "absl/time/time.h"
#include "client/cli/commands/commands.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

struct SnapshotFlags {
  std::string name;
  std::string subscription;
  std::vector<std::string> labels;
};

int Show(const Session& session, const absl::StatusOr<v1::Snapshot>& snapshot,
         std::string_view done) {
  if (!snapshot.ok()) return Report(session, snapshot.status());
  if (session.json) {
    fmt::print("{}\n", ToJson(*snapshot).dump());
    return kOk;
  }
  fmt::print("{}{}\n  topic    {}\n  expires  {}\n", done, snapshot->name(), snapshot->topic(),
             absl::FormatTime(absl::FromUnixSeconds(snapshot->expire_time().seconds()),
                              absl::UTCTimeZone()));
  for (const auto& [key, value] : snapshot->labels()) fmt::print("  label    {}={}\n", key, value);
  return kOk;
}

}  // namespace

void AddSnapshotCommands(CLI::App& app, Run* run) {
  CLI::App* snapshot = app.add_subcommand("snapshot", "Manage snapshots of subscriptions");
  snapshot->require_subcommand(1);
  auto flags = std::make_shared<SnapshotFlags>();
  const auto named = [&](const char* name, const char* help, const char* example) {
    CLI::App* command = snapshot->add_subcommand(name, help);
    command->add_option("snapshot", flags->name, "Short or full name")->required();
    command->footer(std::string("Example:\n  ") + example);
    return command;
  };
  CLI::App* create = named("create", "Make a snapshot",
                           "sluice snapshot create before-deploy --subscription=billing");
  create->add_option("--subscription", flags->subscription, "Subscription to snapshot")->required();
  create->add_option("--label", flags->labels, "KEY=VALUE; may be repeated");
  create->callback([=] {
    *run = [=](const Session& session) {
      v1::CreateSnapshotRequest request;
      request.set_name(session.SnapshotName(flags->name));
      request.set_subscription(session.SubscriptionName(flags->subscription));
      ParsePairs(flags->labels, request.mutable_labels());
      return Show(session, session.OpenAdmin().CreateSnapshot(request), "created ");
    };
  });
  named("describe", "Show a snapshot", "sluice snapshot describe before-deploy")->callback([=] {
    *run = [=](const Session& session) {
      return Show(session, session.OpenAdmin().GetSnapshot(session.SnapshotName(flags->name)), "");
    };
  });
  named("delete", "Delete a snapshot", "sluice snapshot delete before-deploy")->callback([=] {
    *run = [=](const Session& session) {
      const std::string name = session.SnapshotName(flags->name);
      const absl::Status status = session.OpenAdmin().DeleteSnapshot(name);
      if (!status.ok()) return Report(session, status);
      session.json ? fmt::print("{}\n", nlohmann::json{{"deleted", name}}.dump())
                   : fmt::print("deleted {}\n", name);
      return static_cast<int>(kOk);
    };
  });
  CLI::App* list = snapshot->add_subcommand("list", "List the snapshots of the project");
  list->footer("Example:\n  sluice snapshot list --output=json");
  list->callback([=] {
    *run = [](const Session& session) {
      auto found = session.OpenAdmin().ListSnapshots("projects/" + session.project);
      if (!found.ok()) return Report(session, found.status());
      nlohmann::ordered_json all = nlohmann::ordered_json::array();
      for (const v1::Snapshot& one : *found) {
        session.json ? all.push_back(ToJson(one)) : fmt::print("{}  {}\n", one.name(), one.topic());
      }
      if (session.json) fmt::print("{}\n", all.dump());
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace sluice::cli
