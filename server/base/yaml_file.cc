#include "server/base/yaml_file.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <set>
#include <system_error>

#include "fmt/format.h"

namespace sluice::server {
namespace {

constexpr size_t kMaxFileBytes = size_t{4} << 20;

std::string Joined(std::initializer_list<std::string_view> words) {
  return fmt::format("{}", fmt::join(words.begin(), words.end(), ", "));
}

}  // namespace

std::string PlaceOf(const std::string& path, const YAML::Node& node) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? path : fmt::format("{}:{}", path, mark.line + 1);
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const auto failed = [&](std::string_view why) {
    return Error(Reason::kInvalidConfig, fmt::format("{}: cannot be read: {}", path, why),
                 {{"field", path}});
  };
  if (!in) return failed(std::system_category().message(errno));
  std::string text(kMaxFileBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (in.gcount() == 0 && !in.eof())) return failed("it is no plain file");
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kMaxFileBytes)
    return failed(fmt::format("it has more than {} bytes", kMaxFileBytes));
  return text;
}

absl::Status ErrorAt(const std::string& path, const YAML::Node& node, std::string_view what,
                     Reason reason) {
  const std::string place = PlaceOf(path, node);
  return Error(reason, fmt::format("{}: {}", place, what), {{"field", place}});
}

absl::Status CheckKeys(const std::string& path, const YAML::Node& map, std::string_view what,
                       std::initializer_list<std::string_view> known, Reason reason) {
  if (!map || map.IsNull()) return absl::OkStatus();
  if (!map.IsMap())
    return ErrorAt(path, map, fmt::format("{}: must be a map with {}", what, Joined(known)),
                   reason);
  std::set<std::string> seen;
  for (const auto& entry : map) {
    if (!entry.first.IsScalar())
      return ErrorAt(path, entry.first, fmt::format("{}: a key must be a word", what), reason);
    const std::string& key = entry.first.Scalar();
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return ErrorAt(path, entry.first,
                     fmt::format("{}: {} is not known; there are {}", what, key, Joined(known)),
                     reason);
    }
    if (!seen.insert(key).second)
      return ErrorAt(path, entry.first, fmt::format("{}: {} is there twice", what, key), reason);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> StringsOf(const std::string& path, const YAML::Node& node,
                                                   std::string_view what, Reason reason) {
  std::vector<std::string> strings;
  if (node && node.IsScalar()) {
    strings.push_back(node.Scalar());
  } else if (node && node.IsSequence()) {
    for (const YAML::Node& one : node) {
      if (!one.IsScalar())
        return ErrorAt(path, one, fmt::format("{}: must be a list of words", what), reason);
      strings.push_back(one.Scalar());
    }
  } else if (node && !node.IsNull()) {
    return ErrorAt(path, node, fmt::format("{}: must be a list of words", what), reason);
  }
  return strings;
}

}  // namespace sluice::server
