// sluice completion bash|zsh: prints a completion script made from the commands themselves.
#include <map>

#include "client/cli/commands/commands.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

// Words that may follow each path of commands: "topic create" -> "--retention --label ...".
void Collect(const CLI::App& command, const std::string& path,
             std::map<std::string, std::string>* words) {
  std::string& here = (*words)[path];
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    here += sub->get_name() + " ";
    Collect(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), words);
  }
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) here += "--" + name + " ";
  }
}

std::string BashScript(const CLI::App& app) {
  std::map<std::string, std::string> words;
  Collect(app, "", &words);
  std::string cases;
  for (const auto& [path, follow] : words) {
    cases +=
        fmt::format("    '{}') words='{}{}' ;;\n", path, follow, path.empty() ? "" : words.at(""));
  }
  return fmt::format(R"(_sluice() {{
  local path='' word words=''
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ $word == -* ]] || path="${{path:+$path }}$word"
  done
  while :; do
    case "$path" in
{}    esac
    [[ -n $words || -z $path ]] && break
    [[ $path == *' '* ]] && path="${{path% *}}" || path=''
  done
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _sluice sluice
)",
                     cases);
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Run* run) {
  CLI::App* completion =
      app.add_subcommand("completion", "Print a completion script for bash or zsh");
  auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  completion->footer("Example:\n  source <(sluice completion bash)");
  completion->callback([=, &app] {
    *run = [=, &app](const Session&) {
      // zsh reads bash's scripts through bashcompinit.
      if (*shell == "zsh") fmt::print("autoload -U +X bashcompinit && bashcompinit\n");
      fmt::print("{}", BashScript(app));
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace sluice::cli
