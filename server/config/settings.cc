#include "server/config/settings.h"

#include <algorithm>
#include <cctype>

#include "fmt/format.h"

namespace sluice::server {

std::string Setting::flag() const {
  std::string name = path;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '.' || c == '_'; }, '-');
  return "--" + name;
}

std::string Setting::variable() const {
  std::string name = path;
  for (char& c : name)
    c = c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return "SLUICED_" + name;
}

std::string Setting::section() const {
  const size_t dot = path.find('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string Setting::Set(const std::vector<std::string>& texts, const std::string& place) {
  if (!value.is_list() && texts.size() != 1)
    return fmt::format("is one value, not {}", texts.size());
  const std::vector<std::string> before = value.texts();
  if (value.is_list()) value.clear();
  for (const std::string& text : texts) {
    const std::string wrong = value.read(text);
    if (wrong.empty()) continue;
    if (value.is_list()) {
      value.clear();
      for (const std::string& old : before) value.read(old);
    }
    const std::string shown = Masked({text}).front();
    return fmt::format("{}; it is {}", wrong, shown.empty() ? "empty" : shown);
  }
  from = place;
  return "";
}

std::vector<std::string> Setting::Masked(std::vector<std::string> texts) const {
  for (std::string& text : texts)
    text = traits.secret && !text.empty() ? "***" : WithoutUserinfo(text);
  return texts;
}

void Settings::Add(std::string path, Value value, std::string help, SettingTraits traits) {
  std::vector<std::string> standard = value.texts();
  all_.push_back(
      {std::move(path), std::move(value), std::move(help), traits, std::move(standard), ""});
}

Setting* Settings::Find(std::string_view path) {
  const auto it = std::find_if(all_.begin(), all_.end(),
                               [path](const Setting& setting) { return setting.path == path; });
  return it == all_.end() ? nullptr : &*it;
}

bool Settings::IsSection(std::string_view path) const {
  return !path.empty() && std::any_of(all_.begin(), all_.end(),
                                      [path](const Setting& s) { return s.section() == path; });
}

std::vector<std::string> Settings::Names() const {
  std::vector<std::string> names;
  for (const Setting& setting : all_) names.push_back(setting.path);
  return names;
}

std::string Mistake::ToText() const {
  return path.empty() ? fmt::format("{}: {}", place, what)
                      : fmt::format("{}: {}: {}", place, path, what);
}

}  // namespace sluice::server
