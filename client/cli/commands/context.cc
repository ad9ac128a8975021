// sluice context set|use|list|delete
#include <filesystem>

#include "client/cli/commands/commands.h"
#include "client/cli/contexts.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

nlohmann::ordered_json ToJson(const std::string& name, const Context& context, bool current) {
  return {{"name", name},
          {"current", current},
          {"server", context.server},
          {"project", context.project},
          {"tls", context.tls},
          {"ca", context.ca},
          {"cert", context.cert},
          {"key", context.key},
          {"token_file", context.token_file}};
}

int Save(const Session& session, const Contexts& contexts, const std::string& done) {
  if (absl::Status status = contexts.Save(); !status.ok()) return Report(session, status);
  session.json ? fmt::print("{}\n", nlohmann::json{{"done", done}}.dump())
               : fmt::print("{}\n", done);
  return kOk;
}

int Missing(const Session& session, const std::string& name) {
  return Report(session,
                absl::NotFoundError(fmt::format(
                    "there is no context {}; `sluice context list` shows what there is", name)));
}

// A context is used in any folder.
std::string FromAnywhere(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).string();
}

// What the flags of this call say, under a name.
int Set(const Session& session, const std::string& name) {
  auto contexts = Contexts::Load();
  if (!contexts.ok()) return Report(session, contexts.status());
  contexts->all[name] = {session.server,
                         session.project,
                         session.tls,
                         FromAnywhere(session.tls_files.ca),
                         FromAnywhere(session.tls_files.cert),
                         FromAnywhere(session.tls_files.key),
                         FromAnywhere(session.token_file)};
  if (contexts->current.empty()) contexts->current = name;
  return Save(session, *contexts, fmt::format("context {}: {}", name, session.server));
}

int Use(const Session& session, const std::string& name) {
  auto contexts = Contexts::Load();
  if (!contexts.ok()) return Report(session, contexts.status());
  if (contexts->all.count(name) == 0) return Missing(session, name);
  contexts->current = name;
  return Save(session, *contexts, fmt::format("now using {}", name));
}

int Delete(const Session& session, const std::string& name) {
  auto contexts = Contexts::Load();
  if (!contexts.ok()) return Report(session, contexts.status());
  if (contexts->all.erase(name) == 0) return Missing(session, name);
  if (contexts->current == name) contexts->current.clear();
  return Save(session, *contexts, fmt::format("deleted {}", name));
}

int List(const Session& session) {
  auto contexts = Contexts::Load();
  if (!contexts.ok()) return Report(session, contexts.status());
  auto all = nlohmann::ordered_json::array();
  for (const auto& [name, context] : contexts->all) {
    const bool current = name == contexts->current;
    if (session.json) {
      all.push_back(ToJson(name, context, current));
    } else {
      fmt::print("{} {:<16} {}{}\n", current ? "*" : " ", name, context.server,
                 context.tls ? " (TLS)" : "");
    }
  }
  if (session.json) fmt::print("{}\n", all.dump());
  return kOk;
}

}  // namespace

void AddContextCommands(CLI::App& app, Run* run) {
  CLI::App* context = app.add_subcommand("context", "Manage connection profiles");
  context->require_subcommand(1);
  auto name = std::make_shared<std::string>();
  const auto named = [&](const char* command, const char* help, const char* example,
                         int (*what)(const Session&, const std::string&)) {
    CLI::App* sub = context->add_subcommand(command, help);
    sub->add_option("name", *name, "Its name")->required();
    sub->footer(std::string("Example:\n  ") + example);
    sub->callback([=] { *run = [=](const Session& session) { return what(session, *name); }; });
  };
  named("set",
        "Keep what the flags say (--server, --project, --tls, --ca, --cert, --key, --token-file) "
        "under a name",
        "sluice context set prod --server=sluice.example.com:8085 --ca=ca.crt "
        "--token-file=$HOME/.sluice-token",
        &Set);
  named("use", "Select the profile to use by default", "sluice context use prod", &Use);
  named("delete", "Delete a profile", "sluice context delete prod", &Delete);
  CLI::App* list = context->add_subcommand("list", "List the contexts; * is the one in use");
  list->footer("Example:\n  sluice context list");
  list->callback([=] { *run = List; });
}

}  // namespace sluice::cli
