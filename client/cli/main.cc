// sluice: the command line of Sluice.
#include "absl/time/time.h"
#include "client/cli/commands/commands.h"
#include "client/cli/session.h"
#include "core/base/version.h"

namespace sluice::cli {
namespace {

int Main(int argc, char** argv) {
  Session session;
  std::string output = "text";
  std::string timeout = "10s";
  Run run;
  CLI::App app("Publish, subscribe and administer a Sluice server.", "sluice");
  app.footer(
      "Example:\n  sluice topic create orders && sluice sub create billing --topic=orders\n"
      "  sluice pub orders hello && sluice pull billing\n\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 the server does not answer.");
  app.set_version_flag("--version", std::string("sluice ") + kVersion);
  app.add_option("--server", session.server, "HOST:PORT")->envname("SLUICE_SERVER")->capture_default_str();
  app.add_option("--project", session.project, "Project of short names")->envname("SLUICE_PROJECT")->capture_default_str();
  app.add_option("--output,-o", output, "text or json")->check(CLI::IsMember({"text", "json"}))->capture_default_str();
  app.add_option("--timeout", timeout, "Longest wait for the server")->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();
  AddTopicCommands(app, &run);
  AddSubCommands(app, &run);
  AddPubCommand(app, &run);
  AddPullCommands(app, &run);
  AddSnapshotCommands(app, &run);
  AddDlqCommands(app, &run);
  AddStatsCommand(app, &run);
  AddHealthCommand(app, &run);
  AddBenchCommand(app, &run);
  AddAdminCommands(app, &run);
  AddCompletionCommand(app, &run);
  try {
    app.parse(argc, argv);
    session.json = output == "json";
    session.timeout = ParseDurationOrThrow("--timeout", timeout);
    return run(session);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) { return sluice::cli::Main(argc, argv); }
