// Policy::Read: the file as YAML.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/base/publish_limits.h"
#include "server/base/yaml_file.h"
#include "server/security/auth/policy.h"
#include "yaml-cpp/yaml.h"

namespace sluice::server {
namespace {

constexpr std::string_view kGroup = "group:";
constexpr Reason kReason = Reason::kInvalidPolicy;

bool IsMember(std::string_view member) {
  static constexpr std::array<std::string_view, 4> kKinds = {"jwt:", "token:", "cert:", kGroup};
  if (member == "*" || member == "authenticated" || member == kAnonymous) return true;
  return std::any_of(kKinds.begin(), kKinds.end(), [&](std::string_view kind) {
    return member.size() > kind.size() && member.substr(0, kind.size()) == kind;
  });
}

bool IsResource(std::string_view resource) {
  constexpr std::string_view kProjects = "projects/";
  return resource == "*" || resource == kServerResource ||
         (resource.size() > kProjects.size() && resource.substr(0, kProjects.size()) == kProjects);
}

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  absl::StatusOr<std::shared_ptr<const Policy>> Read(const std::string& text) {
    const YAML::Node root = YAML::Load(text);
    if (absl::Status status =
            CheckKeys(path_, root, "policy", {"groups", "bindings", "quotas"}, kReason);
        !status.ok()) {
      return status;
    }
    if (root.IsMap()) {
      absl::Status status = ReadGroups(root["groups"]);
      if (status.ok()) status = ReadBindings(root["bindings"]);
      if (status.ok()) status = ReadQuotas(root["quotas"]);
      if (!status.ok()) return status;
    }
    return std::make_shared<const Policy>(std::move(bindings_), std::move(quotas_),
                                          std::move(groups_));
  }

 private:
  absl::Status Wrong(const YAML::Node& node, std::string_view what) const {
    return ErrorAt(path_, node, what, kReason);
  }

  absl::Status ReadGroups(const YAML::Node& groups) {
    if (!groups || groups.IsNull()) return absl::OkStatus();
    if (!groups.IsMap()) return Wrong(groups, "groups: must be a map of names to lists of members");
    for (const auto& entry : groups) {
      const std::string& name = entry.first.Scalar();
      if (!nodes_.emplace(name, entry.second).second)
        return Wrong(entry.first, fmt::format("groups: {} is there twice", name));
    }
    if (nodes_.size() > kMaxGroups) {
      return Wrong(
          groups, fmt::format("groups: {}, but at most {} are allowed", nodes_.size(), kMaxGroups));
    }
    for (const auto& [name, node] : nodes_) {
      Expansion all{{name}, {name}};
      std::vector<Pattern> members;
      if (absl::Status status = AddMembers(node, "groups." + name, &all, &members); !status.ok())
        return status;
      groups_.emplace(name, std::move(members));
    }
    return absl::OkStatus();
  }

  // A list of members whose groups are being resolved.
  struct Expansion {
    // The groups that this is in, from the outermost.
    std::vector<std::string> above;
    // Those that were met, each of which is gone into once.
    std::set<std::string> met;
  };

  // Adds what a list of members names, groups resolved.
  absl::Status AddMembers(const YAML::Node& node, const std::string& what, Expansion* all,
                          std::vector<Pattern>* out) {
    auto members = StringsOf(path_, node, what, kReason);
    if (!members.ok()) return members.status();
    for (const std::string& member : *members) {
      if (!IsMember(member)) {
        return Wrong(node, fmt::format("{}: {} is no member; there are jwt:NAME, token:NAME, "
                                       "cert:NAME, group:NAME, anonymous, "
                                       "authenticated and *",
                                       what, member));
      }
      if (member.compare(0, kGroup.size(), kGroup) != 0) {
        out->emplace_back(member);
        if (out->size() > kMaxMembers)
          return Wrong(node, fmt::format("{}: more than {} members", what, kMaxMembers));
        if (++members_ > kMaxAllMembers) {
          return Wrong(node, fmt::format("{}: more than {} members in all, groups resolved", what,
                                         kMaxAllMembers));
        }
        continue;
      }
      const std::string group = member.substr(kGroup.size());
      const auto found = nodes_.find(group);
      if (found == nodes_.end())
        return Wrong(node, fmt::format("{}: there is no group {}", what, group));
      if (std::find(all->above.begin(), all->above.end(), group) != all->above.end()) {
        return Wrong(node, fmt::format("{}: group {} is in itself", what, group));
      }
      if (!all->met.insert(group).second) continue;
      if (all->above.size() == kDeepestGroup) {
        return Wrong(node, fmt::format("{}: group {} is more than {} groups deep", what, group,
                                       kDeepestGroup));
      }
      all->above.push_back(group);
      if (absl::Status status = AddMembers(found->second, "groups." + group, all, out);
          !status.ok())
        return status;
      all->above.pop_back();
    }
    return absl::OkStatus();
  }

  absl::Status ReadMembers(const YAML::Node& node, const YAML::Node& list, const std::string& what,
                           std::vector<Pattern>* out) {
    Expansion all;
    if (absl::Status status = AddMembers(list, what + ".members", &all, out); !status.ok())
      return status;
    return out->empty() ? Wrong(node, what + ".members: none are named") : absl::OkStatus();
  }

  absl::Status ReadBindings(const YAML::Node& list) {
    if (!list || list.IsNull()) return absl::OkStatus();
    if (!list.IsSequence()) return Wrong(list, "bindings: must be a list");
    for (const YAML::Node& node : list) {
      const std::string what = fmt::format("bindings[{}]", bindings_.size());
      absl::Status status = CheckKeys(path_, node, what, {"role", "members", "resources"}, kReason);
      if (!status.ok()) return status;
      if (!node.IsMap() || !node["role"] || !node["role"].IsScalar())
        return Wrong(node, what + ".role: is missing");
      const std::string& role = node["role"].Scalar();
      const auto rights = RightsOfRole(role);
      if (!rights) {
        return Wrong(
            node["role"],
            fmt::format(
                "{}.role: {} is none; there are viewer, publisher, subscriber, editor and admin",
                what, role));
      }
      Policy::Binding binding;
      binding.rights = *rights;
      status = ReadMembers(node, node["members"], what, &binding.members);
      if (!status.ok()) return status;
      auto resources = StringsOf(path_, node["resources"], what + ".resources", kReason);
      if (!resources.ok()) return resources.status();
      if (resources->empty()) return Wrong(node, what + ".resources: none are named");
      for (const std::string& resource : *resources) {
        if (!IsResource(resource)) {
          return Wrong(node["resources"],
                       fmt::format("{}.resources: {} is none; there are projects/..., server and *",
                                   what, resource));
        }
        binding.resources.emplace_back(resource);
      }
      bindings_.push_back(std::move(binding));
    }
    return absl::OkStatus();
  }

  absl::Status ReadQuotas(const YAML::Node& list) {
    if (!list || list.IsNull()) return absl::OkStatus();
    if (!list.IsSequence()) return Wrong(list, "quotas: must be a list");
    for (const YAML::Node& node : list) {
      const std::string what = fmt::format("quotas[{}]", quotas_.size());
      absl::Status status =
          CheckKeys(path_, node, what,
                    {"members", "projects", "messages_per_second", "bytes_per_second"}, kReason);
      if (!status.ok()) return status;
      if (!node.IsMap() || !node["members"] == !node["projects"])
        return Wrong(node, what + ": names either members or projects");
      Policy::QuotaRule rule;
      if (node["members"]) {
        status = ReadMembers(node, node["members"], what, &rule.members);
      } else {
        status = ReadProjects(node["projects"], what, &rule.projects);
      }
      if (status.ok())
        status = ReadRate(node, what, "messages_per_second", &rule.quota.messages_per_second);
      if (status.ok())
        status = ReadRate(node, what, "bytes_per_second", &rule.quota.bytes_per_second);
      if (!status.ok()) return status;
      quotas_.push_back(std::move(rule));
    }
    return absl::OkStatus();
  }

  absl::Status ReadProjects(const YAML::Node& list, const std::string& what,
                            std::vector<Pattern>* out) const {
    auto projects = StringsOf(path_, list, what + ".projects", kReason);
    if (!projects.ok()) return projects.status();
    if (projects->empty()) return Wrong(list, what + ".projects: none are named");
    for (const std::string& project : *projects) out->emplace_back("projects/" + project);
    return absl::OkStatus();
  }

  absl::Status ReadRate(const YAML::Node& node, const std::string& what, const char* key,
                        double* rate) const {
    const YAML::Node value = node[key];
    if (!value) return absl::OkStatus();
    int64_t amount = 0;
    if (!value.IsScalar() || !ParseAmount(value.Scalar(), &amount)) {
      return Wrong(value,
                   fmt::format("{}.{}: must be a number of at least 1, such as 500, 20k or 16MiB",
                               what, key));
    }
    *rate = static_cast<double>(amount);
    return absl::OkStatus();
  }

  static constexpr size_t kMaxGroups = 1'000;
  static constexpr size_t kDeepestGroup = 16;
  // Of one list, and of all, groups resolved.
  static constexpr size_t kMaxMembers = 10'000;
  static constexpr size_t kMaxAllMembers = 1'000'000;

  const std::string path_;
  std::map<std::string, YAML::Node> nodes_;
  std::map<std::string, std::vector<Pattern>> groups_;
  std::vector<Policy::Binding> bindings_;
  std::vector<Policy::QuotaRule> quotas_;
  size_t members_ = 0;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Parse(const std::string& text,
                                                            const std::string& path) {
  try {
    return Reader(path).Read(text);
  } catch (const YAML::Exception& error) {
    const std::string place =
        error.mark.is_null() ? path : fmt::format("{}:{}", path, error.mark.line + 1);
    return Error(kReason, fmt::format("{}: {}", place, error.msg), {{"field", place}});
  }
}

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Read(const std::string& path) {
  auto text = ReadTextFile(path);
  if (!text.ok()) return text.status();
  return Parse(*text, path);
}

}  // namespace sluice::server
