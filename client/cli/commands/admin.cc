// sluice admin verify
#include "client/cli/commands/commands.h"
#include "core/storage/local/verify.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

int RunVerify(const Session& session, const std::string& data_dir) {
  Progress progress("verifying");
  auto report = Verify(data_dir, [&](double share) { progress.Show(share, ""); });
  if (!report.ok()) return Report(session, report.status());
  if (session.json) {
    const nlohmann::ordered_json out = {{"segments", report->segments}, {"records", report->records},
                                        {"batches", report->batches},   {"messages", report->messages},
                                        {"bytes", report->bytes},       {"topics", report->topics},
                                        {"subscriptions", report->subscriptions}, {"torn_tail", report->torn_tail},
                                        {"damages", report->damages}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("{} segments, {} records, {} batches, {} messages, {} bytes, {} topics, {} subscriptions\n",
               report->segments, report->records, report->batches, report->messages, report->bytes, report->topics,
               report->subscriptions);
    if (report->torn_tail) fmt::print("a write was cut off at the end; it was never acknowledged and goes at the next start\n");
    for (const std::string& damage : report->damages) fmt::print("damaged: {}\n", damage);
    if (report->damages.empty()) fmt::print("no damage\n");
  }
  return report->damages.empty() ? kOk : kFailed;
}

}  // namespace

void AddAdminCommands(CLI::App& app, Run* run) {
  CLI::App* admin = app.add_subcommand("admin", "Look after a store on the disk");
  admin->require_subcommand(1);
  CLI::App* verify = admin->add_subcommand("verify", "Read a stopped store through and report what is damaged");
  auto data_dir = std::make_shared<std::string>();
  verify->add_option("--data-dir", *data_dir, "The store's folder")->required();
  verify->footer("Example:\n  sluice admin verify --data-dir=/var/lib/sluice");
  verify->callback([=] { *run = [=](const Session& session) { return RunVerify(session, *data_dir); }; });
}

}  // namespace sluice::cli
