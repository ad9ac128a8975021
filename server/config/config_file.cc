#include "server/config/config_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>

#include "core/base/strings.h"
#include "fmt/format.h"
#include "server/config/nearest.h"
#include "yaml-cpp/yaml.h"

namespace sluice::server {
namespace {

constexpr off_t kMaxBytes = off_t{16} << 20;

// startup_file.h reads them.
constexpr std::array<std::string_view, 3> kStartupKeys = {"project", "topics", "subscriptions"};

bool IsStartupKey(std::string_view key) {
  return std::find(kStartupKeys.begin(), kStartupKeys.end(), key) != kStartupKeys.end();
}

std::string Join(const std::string& section, const std::string& key) {
  return section.empty() ? key : fmt::format("{}.{}", section, key);
}

std::string_view KindOf(const YAML::Node& node) {
  return node.IsMap() ? "a map" : node.IsSequence() ? "a list" : node.IsNull() ? "empty" : "a text";
}

// Empty when the text was read, else why not.
std::string ReadText(const std::string& path, std::string* text) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) {
    return fmt::format("cannot be read: {}", std::generic_category().message(errno));
  }
  // It is read several times, so a pipe will not do.
  if (!S_ISREG(found.st_mode)) return "cannot be read: it is no regular file";
  if (found.st_size > kMaxBytes)
    return fmt::format("is too large: {} bytes, at most {}", found.st_size, kMaxBytes);
  std::ifstream in(path, std::ios::binary);
  text->assign(std::istreambuf_iterator<char>(in), {});
  if (!in) return "cannot be read";
  return IsValidUtf8(*text) ? "" : "is not YAML: not UTF-8";
}

// Looks at every map of a document for keys that are there twice.
class KeyCheck {
 public:
  KeyCheck(const ConfigFile& file, std::vector<Mistake>* mistakes)
      : file_(file), mistakes_(mistakes) {}

  // False where the document does not end: an alias may stand for what it is in.
  bool Visit(const YAML::Node& node, const std::string& path, int depth) {
    constexpr int kDeepest = 32;
    constexpr int kMostNodes = 1'000'000;
    if (depth > kDeepest || ++visited_ > kMostNodes) {
      mistakes_->push_back(
          {file_.PlaceOf(node.Mark()), path, "is nested too deep, or is too much"});
      return false;
    }
    if (node.IsSequence()) {
      return std::all_of(node.begin(), node.end(),
                         [&](const auto& one) { return Visit(one, path, depth + 1); });
    }
    return !node.IsMap() || VisitMap(node, path, depth);
  }

 private:
  bool VisitMap(const YAML::Node& map, const std::string& path, int depth) {
    std::map<std::string, int> seen;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) {
        mistakes_->push_back({file_.PlaceOf(entry.first.Mark()), path, "a key must be a text"});
        return false;
      }
      const std::string key = Join(path, entry.first.Scalar());
      const int line = entry.first.Mark().line + 1;
      const auto [first, is_new] = seen.emplace(entry.first.Scalar(), line);
      if (!is_new) {
        mistakes_->push_back({file_.PlaceOf(entry.first.Mark()), key,
                              fmt::format("is there twice, first in line {}", first->second)});
      }
      if (!Visit(entry.second, key, depth + 1)) return false;
    }
    return true;
  }

  const ConfigFile& file_;
  std::vector<Mistake>* const mistakes_;
  int visited_ = 0;
};

Mistake Unknown(const std::string& place, const std::string& path, const Settings& settings) {
  std::vector<std::string> known = settings.Names();
  for (const Setting& setting : settings.all()) {
    if (!setting.section().empty()) known.push_back(setting.section());
  }
  known.insert(known.end(), kStartupKeys.begin(), kStartupKeys.end());
  const std::string nearest = Nearest(path, known);
  return {place, path,
          nearest.empty() ? "is not known; sluiced --help lists the settings"
                          : fmt::format("is not known; did you mean {}?", nearest)};
}

}  // namespace

std::string ConfigFile::PlaceOf(const YAML::Mark& mark) const {
  return mark.is_null() ? path_ : fmt::format("{}:{}", path_, mark.line + 1);
}

ConfigFile ConfigFile::Read(const std::string& path, std::vector<Mistake>* mistakes) {
  ConfigFile file(path);
  std::string text;
  if (const std::string wrong = ReadText(path, &text); !wrong.empty()) {
    mistakes->push_back({path, "", wrong});
    return file;
  }
  try {
    file.Parse(text, mistakes);
  } catch (const YAML::Exception& error) {
    mistakes->push_back({file.PlaceOf(error.mark), "", fmt::format("is not YAML: {}", error.msg)});
  }
  return file;
}

void ConfigFile::Parse(const std::string& text, std::vector<Mistake>* mistakes) {
  const std::vector<YAML::Node> documents = YAML::LoadAll(text);
  if (documents.empty() || (documents.size() == 1 && documents.front().IsNull())) return;
  if (documents.size() > 1) {
    mistakes->push_back(
        {path_, "", fmt::format("has {} documents, and one is read", documents.size())});
    return;
  }
  const YAML::Node& document = documents.front();
  if (!document.IsMap()) {
    mistakes->push_back({PlaceOf(document.Mark()), "",
                         fmt::format("must be a map of settings; it is {}", KindOf(document))});
    return;
  }
  if (KeyCheck(*this, mistakes).Visit(document, "", 0)) root_.reset(document);
}

void ConfigFile::Apply(Settings* settings, std::vector<Mistake>* mistakes) const {
  if (root_.IsMap()) ApplyMap(root_, "", settings, mistakes);
}

void ConfigFile::ApplyMap(const YAML::Node& map, const std::string& section, Settings* settings,
                          std::vector<Mistake>* mistakes) const {
  for (const auto& entry : map) {
    const std::string key = entry.first.Scalar();
    const std::string path = Join(section, key);
    const std::string place = PlaceOf(entry.first.Mark());
    if (section.empty() && IsStartupKey(key)) continue;
    // "push.ca" in one word would be a second place for it.
    Setting* setting = key.find('.') == std::string::npos ? settings->Find(path) : nullptr;
    if (setting != nullptr) {
      ApplyOne(entry.second, place, setting, mistakes);
    } else if (!section.empty() || !settings->IsSection(path)) {
      mistakes->push_back(Unknown(place, path, *settings));
    } else if (entry.second.IsMap()) {
      ApplyMap(entry.second, path, settings, mistakes);
    } else if (!entry.second.IsNull()) {
      mistakes->push_back(
          {place, path, fmt::format("must be a map of settings; it is {}", KindOf(entry.second))});
    }
  }
}

void ConfigFile::ApplyOne(const YAML::Node& node, const std::string& place, Setting* setting,
                          std::vector<Mistake>* mistakes) const {
  std::vector<std::string> texts;
  const auto is_text = [](const YAML::Node& one) { return one.IsScalar(); };
  if (node.IsScalar()) {
    texts = {node.Scalar()};
  } else if (setting->value.is_list() && node.IsSequence() &&
             std::all_of(node.begin(), node.end(), is_text)) {
    for (const auto& one : node) texts.push_back(one.Scalar());
  } else {
    const std::string_view list = setting->value.is_list() ? "a list, each " : "";
    mistakes->push_back(
        {place, setting->path,
         fmt::format("must be {}{}; it is {}", list, setting->value.must_be, KindOf(node))});
    return;
  }
  if (const std::string wrong = setting->Set(texts, place); !wrong.empty()) {
    mistakes->push_back({place, setting->path, wrong});
  }
}

}  // namespace sluice::server
