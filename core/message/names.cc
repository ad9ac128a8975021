#include "core/message/names.h"

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/message/limits.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr std::string_view kProjects = "projects/";

bool IsLetter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNameChar(char c) {
  return IsLetter(c) || IsDigit(c) || std::string_view("._~+%-").find(c) != std::string_view::npos;
}

bool IsValidId(std::string_view id) {
  if (id.size() < kMinNameLength || id.size() > kMaxNameLength || !IsLetter(id[0])) return false;
  for (char c : id) {
    if (!IsNameChar(c)) return false;
  }
  return true;
}

// Project ids, project numbers ("123456789012") and ids within a domain ("example.com:my-project").
bool IsValidProject(std::string_view project) {
  if (project.empty() || project.size() > kMaxNameLength) return false;
  if (!IsLetter(project[0]) && !IsDigit(project[0])) return false;
  for (char c : project) {
    if (!IsNameChar(c) && c != ':') return false;
  }
  return true;
}

// The name as it can stand in an error: short, and valid UTF-8 whatever came in.
std::string Printable(std::string_view name) {
  constexpr size_t kShown = 300;
  if (!IsValidUtf8(name)) return "(not UTF-8)";
  if (name.size() <= kShown) return std::string(name);
  size_t end = kShown;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return std::string(name.substr(0, end)) + "...";
}

absl::Status Invalid(std::string_view name, std::string_view shape, std::string_view field) {
  const std::string shown = Printable(name);
  const std::string limit = fmt::format(
      "{}, P 1 to {} of [A-Za-z0-9][A-Za-z0-9._~+%:-]*, X {} to {} of [A-Za-z][A-Za-z0-9._~+%-]* "
      "and not starting with goog",
      shape, kMaxNameLength, kMinNameLength, kMaxNameLength);
  return Error(
      Reason::kInvalidName,
      fmt::format("{}: invalid resource name given (name={}); it must be {}", field, shown, limit),
      {{"field", std::string(field)}, {"value", shown}, {"limit", limit}});
}

}  // namespace

absl::StatusOr<size_t> CheckResourceName(std::string_view name, std::string_view collection,
                                         std::string_view field) {
  const auto invalid = [&] {
    return Invalid(name, fmt::format("projects/P/{}/X", collection), field);
  };
  if (name.substr(0, kProjects.size()) != kProjects) return invalid();
  const size_t project_end = name.find('/', kProjects.size());
  if (project_end == std::string_view::npos) return invalid();
  const std::string_view project = name.substr(kProjects.size(), project_end - kProjects.size());
  std::string_view rest = name.substr(project_end + 1);
  if (rest.substr(0, collection.size()) != collection) return invalid();
  rest.remove_prefix(collection.size());
  if (rest.empty() || rest[0] != '/') return invalid();
  rest.remove_prefix(1);
  if (!IsValidProject(project) || !IsValidId(rest) || rest.substr(0, 4) == "goog") return invalid();
  return project_end;
}

absl::Status CheckProjectName(std::string_view name, std::string_view field) {
  if (name.substr(0, kProjects.size()) != kProjects ||
      !IsValidProject(name.substr(kProjects.size()))) {
    return Invalid(name, "projects/P", field);
  }
  return absl::OkStatus();
}

}  // namespace sluice
