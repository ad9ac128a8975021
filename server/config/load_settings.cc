#include "server/config/load_settings.h"

#include <algorithm>
#include <string_view>

#include "fmt/format.h"
#include "server/config/nearest.h"

namespace sluice::server {
namespace {

constexpr std::string_view kPrefix = "SLUICED_";
constexpr std::string_view kConfigVariable = "SLUICED_CONFIG";

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  for (;;) {
    const size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find(' '), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// What stands there is not repeated where it may be wrong: it may be a secret whose name is
// misspelt.
void CheckName(const std::string& name, const Settings& settings, std::vector<Mistake>* mistakes) {
  std::vector<std::string> known = {std::string(kConfigVariable)};
  for (const Setting& setting : settings.all()) known.push_back(setting.variable());
  // All begin alike.
  for (std::string& variable : known) variable.erase(0, kPrefix.size());
  const std::string nearest = Nearest(name.substr(kPrefix.size()), known);
  if (!nearest.empty()) {
    mistakes->push_back(
        {name, "", fmt::format("is not known; did you mean {}{}?", kPrefix, nearest)});
  }
}

// `name` says what a setting is called there.
template <class Name>
void Apply(const Inputs::Given& given, const Name& name, Settings* settings,
           std::vector<Mistake>* mistakes) {
  for (const auto& [path, texts] : given) {
    Setting* setting = settings->Find(path);
    if (setting == nullptr) continue;
    const std::string place = name(*setting);
    if (std::string wrong = setting->Set(texts, place); !wrong.empty())
      mistakes->push_back({place, "", std::move(wrong)});
  }
}

}  // namespace

void Inputs::ReadEnvironment(const char* const* environment) {
  const Settings settings;
  for (; *environment != nullptr; ++environment) {
    const std::string_view variable = *environment;
    const size_t equals = variable.find('=');
    if (variable.substr(0, kPrefix.size()) != kPrefix || equals == std::string_view::npos) continue;
    const std::string name(variable.substr(0, equals));
    const std::string text(variable.substr(equals + 1));
    if (name == kConfigVariable) {
      if (file.empty()) file = text;
      continue;
    }
    const auto& all = settings.all();
    const auto it = std::find_if(
        all.begin(), all.end(), [&](const Setting& setting) { return setting.variable() == name; });
    if (it == all.end()) {
      CheckName(name, settings, &mistakes);
    } else {
      variables.emplace_back(it->path, it->value.is_list() ? Words(text) : std::vector{text});
    }
  }
}

LoadedSettings LoadSettings(const Inputs& inputs) {
  LoadedSettings loaded;
  loaded.mistakes = inputs.mistakes;
  if (!inputs.file.empty()) {
    loaded.settings->SetFile(inputs.file);
    loaded.file_id = FileId::Of(inputs.file);
    const ConfigFile file = ConfigFile::Read(inputs.file, &loaded.mistakes);
    file.Apply(loaded.settings.get(), &loaded.mistakes);
    if (inputs.read_rest) loaded.resources = inputs.read_rest(file, &loaded.mistakes);
  }
  const auto variable = [](const Setting& setting) { return setting.variable(); };
  const auto flag = [](const Setting& setting) { return setting.flag(); };
  Apply(inputs.variables, variable, loaded.settings.get(), &loaded.mistakes);
  Apply(inputs.flags, flag, loaded.settings.get(), &loaded.mistakes);
  return loaded;
}

}  // namespace sluice::server
