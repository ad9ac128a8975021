// sluice admin checkpoint|verify|restore|rebuild-view
#include "client/cli/commands/commands.h"
#include "core/storage/local/backup/restore.h"
#include "core/storage/local/local_backend.h"
#include "core/storage/local/verify.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

std::string MiB(int64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

int RunCheckpoint(const Session& session, const v1::CreateCheckpointRequest& request) {
  const absl::Time begin = absl::Now();
  absl::StatusOr<v1::Checkpoint> made;
  {
    Progress progress("backing up");
    made = session.OpenAdmin().CreateCheckpoint(request, [&](int64_t done, int64_t total) {
      progress.Show(static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1)),
                    fmt::format("{} of {}", MiB(done), MiB(total)));
    });
  }
  if (!made.ok()) return Report(session, made.status());
  if (session.json) {
    fmt::print("{}\n", ToJson(*made).dump());
  } else {
    fmt::print("{}: {} files, {} ({} copied, {} shared), {:.1f} s\n", made->name(), made->files(),
               MiB(made->bytes()), MiB(made->copied_bytes()), MiB(made->linked_bytes()),
               absl::ToDoubleSeconds(absl::Now() - begin));
  }
  return kOk;
}

int RunRestore(const Session& session, const std::string& from, const std::string& data_dir) {
  absl::StatusOr<BackupManifest> restored;
  {
    Progress progress("restoring");
    restored =
        Restore(PosixFileSystem(), from, data_dir, [&](double share) { progress.Show(share, ""); });
  }
  if (!restored.ok()) return Report(session, restored.status());
  const std::string created =
      absl::FormatTime(absl::RFC3339_sec, restored->created, absl::UTCTimeZone());
  if (session.json) {
    const nlohmann::ordered_json out = {{"data_dir", data_dir},
                                        {"created", created},
                                        {"files", restored->files.size()},
                                        {"bytes", restored->bytes()}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("{}: {} files, {}, as of {}\n", data_dir, restored->files.size(),
               MiB(static_cast<int64_t>(restored->bytes())), created);
  }
  return kOk;
}

void PrintText(const VerifyReport& report) {
  if (report.backup_files > 0) fmt::print("a backup of {} files\n", report.backup_files);
  fmt::print(
      "{} segments, {} records, {} batches, {} messages, {} bytes, {} topics, {} subscriptions\n",
      report.segments, report.records, report.batches, report.messages, report.bytes, report.topics,
      report.subscriptions);
  if (report.torn_tail) {
    fmt::print(
        "{} bytes at the end cannot be read and go at the next start: a write that was cut off, or "
        "a damaged one, which may have been acknowledged\n",
        report.torn_bytes);
  }
  for (const std::string& damage : report.damages) fmt::print("damaged: {}\n", damage);
  if (report.damages.empty()) fmt::print("no damage\n");
}

int RunVerify(const Session& session, const std::string& data_dir) {
  absl::StatusOr<VerifyReport> report;
  {
    Progress progress("verifying");
    report = Verify(data_dir, [&](double share) { progress.Show(share, ""); });
  }
  if (!report.ok()) return Report(session, report.status());
  if (session.json) {
    const nlohmann::ordered_json out = {{"backup_files", report->backup_files},
                                        {"segments", report->segments},
                                        {"records", report->records},
                                        {"batches", report->batches},
                                        {"messages", report->messages},
                                        {"bytes", report->bytes},
                                        {"topics", report->topics},
                                        {"subscriptions", report->subscriptions},
                                        {"torn_tail", report->torn_tail},
                                        {"torn_bytes", report->torn_bytes},
                                        {"damages", report->damages}};
    fmt::print("{}\n", out.dump());
  } else {
    PrintText(*report);
  }
  return report->damages.empty() ? kOk : kFailed;
}

int RunRebuildView(const Session& session, const std::string& data_dir) {
  if (auto names = PosixFileSystem().List(data_dir + "/journal"); !names.ok())
    return Report(session, names.status());
  LocalOptions options;
  options.data_dir = data_dir;
  options.run_maintenance = false;
  options.rebuild_view = true;
  const SystemClock clock;
  StoreMetrics metrics;
  auto store = LocalBackend::Open(std::move(options), clock, metrics);
  if (!store.ok()) return Report(session, store.status());
  const auto contents = (*store)->catalogue().Load();
  if (!contents.ok()) return Report(session, contents.status());
  const uint64_t damaged = (*store)->stats().damaged_stretches;
  const std::vector<std::string> warnings = (*store)->warnings();
  if (absl::Status status = (*store)->Close(); !status.ok()) return Report(session, status);
  if (session.json) {
    const nlohmann::ordered_json out = {{"topics", contents->topics.size()},
                                        {"subscriptions", contents->subscriptions.size()},
                                        {"damaged_places", damaged},
                                        {"warnings", warnings}};
    fmt::print("{}\n", out.dump());
  } else {
    for (const std::string& warning : warnings) fmt::print("{}\n", warning);
    fmt::print("{} topics, {} subscriptions, {} damaged places\n", contents->topics.size(),
               contents->subscriptions.size(), damaged);
  }
  return damaged == 0 ? kOk : kFailed;
}

void AddCheckpoint(CLI::App& admin, Run* run) {
  CLI::App* checkpoint =
      admin.add_subcommand("checkpoint", "Make a backup in the server's --backup-dir");
  auto request = std::make_shared<v1::CreateCheckpointRequest>();
  const auto name = [checkpoint](const char* flag, auto set, const char* help) {
    return checkpoint->add_option_function<std::string>(flag, set, help);
  };
  name(
      "--to", [request](const std::string& to) { request->set_name(to); },
      "Name of the new folder there")
      ->required();
  name(
      "--base", [request](const std::string& base) { request->set_base(base); },
      "An earlier backup there: what it has already is not copied again");
  checkpoint
      ->add_option_function<int>(
          "--keep", [request](int keep) { request->set_keep(keep); },
          "Afterwards remove all but so many of the newest")
      ->check(CLI::PositiveNumber);
  checkpoint->footer("Example:\n  sluice admin checkpoint --to=tuesday --base=monday --keep=7");
  checkpoint->callback(
      [=] { *run = [=](const Session& session) { return RunCheckpoint(session, *request); }; });
}

void AddRestore(CLI::App& admin, Run* run) {
  CLI::App* restore =
      admin.add_subcommand("restore", "Restore a backup into an empty directory; needs no server");
  auto from = std::make_shared<std::string>();
  auto data_dir = std::make_shared<std::string>();
  restore->add_option("--from", *from, "The backup's folder")->required();
  restore->add_option("--data-dir", *data_dir, "The new store's folder: missing, or empty")
      ->required();
  restore->footer(
      "Example:\n  sluice admin restore --from=/backups/monday --data-dir=/var/lib/sluice");
  restore->callback([=] {
    *run = [=](const Session& session) { return RunRestore(session, *from, *data_dir); };
  });
}

void AddVerify(CLI::App& admin, Run* run) {
  CLI::App* verify =
      admin.add_subcommand("verify", "Check a stopped store or a backup and report damage");
  auto data_dir = std::make_shared<std::string>();
  verify->add_option("--data-dir", *data_dir, "The store's folder, or the backup's")->required();
  verify->footer("Example:\n  sluice admin verify --data-dir=/var/lib/sluice");
  verify->callback(
      [=] { *run = [=](const Session& session) { return RunVerify(session, *data_dir); }; });
}

void AddRebuildView(CLI::App& admin, Run* run) {
  CLI::App* rebuild =
      admin.add_subcommand("rebuild-view", "Rebuild the view of a stopped store from its journal");
  auto data_dir = std::make_shared<std::string>();
  rebuild->add_option("--data-dir", *data_dir, "The store's folder")->required();
  rebuild->footer("Example:\n  sluice admin rebuild-view --data-dir=/var/lib/sluice");
  rebuild->callback(
      [=] { *run = [=](const Session& session) { return RunRebuildView(session, *data_dir); }; });
}

}  // namespace

void AddAdminCommands(CLI::App& app, Run* run) {
  CLI::App* admin =
      app.add_subcommand("admin", "Server administration: backups, store checks, API tokens");
  admin->require_subcommand(1);
  AddCheckpoint(*admin, run);
  AddVerify(*admin, run);
  AddRebuildView(*admin, run);
  AddRestore(*admin, run);
  AddTokenCommand(*admin, run);
}

}  // namespace sluice::cli
