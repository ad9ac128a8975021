// sluice: the command line of Sluice.
#include <cstdlib>

#include "absl/time/time.h"
#include "client/cli/commands/commands.h"
#include "client/cli/contexts.h"
#include "client/cli/session.h"
#include "core/base/version.h"

namespace sluice::cli {
namespace {

// The flags that say how to reach the server. Those that are not given come from the context.
class ServerFlags {
 public:
  ServerFlags(CLI::App& app, Session& session) : session_(session) {
    app.add_option("--context", context_,
                   "Connection profile (`sluice context`); flags override it")
        ->envname("SLUICE_CONTEXT");
    server_ = app.add_option("--server", session.server, "HOST:PORT")
                  ->envname("SLUICE_SERVER")
                  ->capture_default_str();
    project_ = app.add_option("--project", session.project, "Project of short names")
                   ->envname("SLUICE_PROJECT")
                   ->capture_default_str();
    tls_ = app.add_flag("--tls,!--no-tls", session.tls, "Speak TLS; --ca and --cert imply it")
               ->envname("SLUICE_TLS");
    ca_ = app.add_option("--ca", session.tls_files.ca,
                         "The server's authorities (PEM), instead of the system's")
              ->envname("SLUICE_CA");
    cert_ = app.add_option("--cert", session.tls_files.cert, "A certificate of one's own (PEM)")
                ->envname("SLUICE_CERT");
    key_ = app.add_option("--key", session.tls_files.key, "Its key (PEM)")->envname("SLUICE_KEY");
    token_file_ = app.add_option("--token-file", session.token_file,
                                 "File with an API token or a JWT; SLUICE_TOKEN is one itself")
                      ->envname("SLUICE_TOKEN_FILE");
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    if (const char* token = std::getenv("SLUICE_TOKEN")) session.token = token;
  }

  absl::Status TakeContext() {
    auto contexts = Contexts::Load();
    if (!contexts.ok()) return contexts.status();
    const std::string& name = context_.empty() ? contexts->current : context_;
    // Who names the server means none of what is kept.
    if (name.empty() || (context_.empty() && server_->count() > 0)) return absl::OkStatus();
    const auto found = contexts->all.find(name);
    if (found == contexts->all.end()) {
      return absl::NotFoundError("--context: there is no context " + name +
                                 "; `sluice context list` shows what there is");
    }
    const Context& kept = found->second;
    const auto take = [](const CLI::Option* flag, const auto& value, auto* to) {
      if (flag->count() == 0) *to = value;
    };
    take(server_, kept.server, &session_.server);
    take(project_, kept.project, &session_.project);
    take(tls_, kept.tls, &session_.tls);
    take(ca_, kept.ca, &session_.tls_files.ca);
    take(cert_, kept.cert, &session_.tls_files.cert);
    take(key_, kept.key, &session_.tls_files.key);
    take(token_file_, kept.token_file, &session_.token_file);
    return absl::OkStatus();
  }

 private:
  Session& session_;
  std::string context_;
  CLI::Option* server_;
  CLI::Option* project_;
  CLI::Option* tls_;
  CLI::Option* ca_;
  CLI::Option* cert_;
  CLI::Option* key_;
  CLI::Option* token_file_;
};

// What only looks at files of its own is not held up by others that are missing.
bool Connects(const CLI::App& app) {
  const CLI::App* const command = app.get_subcommands().front();
  const std::string& name = command->get_name();
  if (name == "context" || name == "completion") return false;
  const auto& below = command->get_subcommands();
  return name != "admin" || (!below.empty() && below.front()->get_name() == "checkpoint");
}

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
  ServerFlags server(app, session);
  app.add_option("--output,-o", output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
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
  AddDoctorCommand(app, &run);
  AddContextCommands(app, &run);
  AddBenchCommand(app, &run);
  AddAdminCommands(app, &run);
  AddCompletionCommand(app, &run);
  try {
    app.parse(argc, argv);
    session.json = output == "json";
    session.timeout = ParseDurationOrThrow("--timeout", timeout);
    absl::Status status = server.TakeContext();
    if (status.ok() && Connects(app)) status = session.Prepare();
    return status.ok() ? run(session) : Report(session, status);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) { return sluice::cli::Main(argc, argv); }
