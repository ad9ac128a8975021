#include "server/config/flags.h"

#include <algorithm>
#include <iostream>
#include <string>

#include "CLI/CLI.hpp"
#include "core/base/version.h"
#include "fmt/format.h"
#include "server/config/nearest.h"
#include "server/config/print_settings.h"

namespace sluice::server {
namespace {

constexpr const char* kFooter =
    R"(Each setting is also a variable (--push-ca is SLUICED_PUSH_CA) and a line of the file of --config (ca, in the section push).
A flag beats a variable, a variable the file. docs/configuration.md says more of each.

Example:
  sluiced --data-dir=/var/lib/sluice --listen=127.0.0.1:8085 --http=127.0.0.1:9095)";

// What to do other than serve.
struct Commands {
  bool check = false;
  bool print = false;
  bool print_reference = false;
};

void AddCommands(CLI::App& app, Inputs& inputs, Commands& commands) {
  app.add_option(
         "--config", inputs.file,
         "File (YAML) of settings, and of topics and subscriptions to make where they are missing")
      ->type_name("FILE");
  app.add_flag("--check-config", commands.check,
               "Say what is wrong with the settings, and the files that they name, and end: with 0 "
               "when nothing is, else with 2");
  app.add_flag("--print-config", commands.print,
               "Print the settings as YAML, with where each comes from, and end");
  app.add_flag("--print-config-reference", commands.print_reference,
               "Print docs/configuration.md, and end");
}

void AddSettings(CLI::App& app, const Settings& settings) {
  for (const Setting& setting : settings.all()) {
    CLI::Option* option =
        setting.value.is_switch ? app.add_flag(setting.flag()) : app.add_option(setting.flag());
    option->description(setting.value.is_list() ? setting.help + "; may be repeated"
                                                : setting.help);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    if (!setting.section().empty()) option->group(setting.section());
    if (setting.value.is_switch) continue;
    option->expected(1)->type_name(setting.value.type);
    if (!setting.standard.empty()) option->default_str(setting.standard.front());
  }
}

void TakeSettings(const CLI::App& app, const Settings& settings, Inputs* inputs) {
  for (const Setting& setting : settings.all()) {
    const CLI::Option* option = app.get_option(setting.flag());
    if (option->count() > 0) inputs->flags.emplace_back(setting.path, option->results());
  }
}

// Words that are no flag: with them those that may have been meant as the value of one.
void TakeExtras(const CLI::App& app, Inputs* inputs) {
  std::vector<std::string> words = app.remaining();
  const auto is_flag = [](const std::string& word) { return word.front() == '-'; };
  std::erase_if(words, [](const std::string& word) { return word.empty(); });
  if (std::any_of(words.begin(), words.end(), is_flag)) std::erase_if(words, std::not_fn(is_flag));
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) known.push_back(option->get_name());
  for (const std::string& word : words) {
    const std::string name = is_flag(word) ? word.substr(0, word.find('=')) : word;
    const std::string nearest = is_flag(word) ? Nearest(name, known) : "";
    inputs->mistakes.push_back({name, "",
                                nearest.empty()
                                    ? "is not known; see sluiced --help"
                                    : fmt::format("is not known; did you mean {}?", nearest)});
  }
}

int Run(const Commands& commands, const LoadedSettings& loaded) {
  for (const Mistake& mistake : loaded.mistakes) std::cerr << mistake.ToText() << '\n';
  if (!loaded.mistakes.empty()) return kUsageError;
  if (commands.print) std::cout << SettingsAsYaml(loaded);
  return 0;
}

}  // namespace

ParsedFlags ParseFlags(int argc, const char* const* argv, const char* const* environment,
                       Inputs::ReadRest read_rest) {
  ParsedFlags parsed;
  parsed.inputs.read_rest = std::move(read_rest);
  const Settings settings;
  Commands commands;
  CLI::App app("Durable publish/subscribe over gRPC.", "sluiced");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("sluiced ") + kVersion);
  app.allow_extras();
  AddCommands(app, parsed.inputs, commands);
  AddSettings(app, settings);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = app.exit(error) == 0 ? 0 : kUsageError;
    return parsed;
  }
  if (commands.print_reference) {
    std::cout << SettingsReference();
    parsed.exit_code = 0;
    return parsed;
  }
  TakeExtras(app, &parsed.inputs);
  TakeSettings(app, settings, &parsed.inputs);
  parsed.inputs.ReadEnvironment(environment);
  parsed.loaded = LoadSettings(parsed.inputs);
  if (commands.print || !parsed.loaded.mistakes.empty())
    parsed.exit_code = Run(commands, parsed.loaded);
  parsed.check = commands.check;
  return parsed;
}

}  // namespace sluice::server
