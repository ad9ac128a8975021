#include "server/security/auth/policy.h"

#include <algorithm>
#include <utility>

namespace sluice::server {
namespace {

constexpr std::string_view kAuthenticated = "authenticated";

bool AnyMember(const std::vector<Pattern>& members, std::string_view principal) {
  return std::any_of(members.begin(), members.end(),
                     [&](const Pattern& m) { return MatchesMember(m, principal); });
}

// projects/P/* is projects/P as well: who may do all in a project may list it.
bool Covers(const Pattern& pattern, std::string_view resource) {
  if (pattern.Matches(resource)) return true;
  constexpr std::string_view kAll = "/*";
  const std::string_view text = pattern.text();
  return text.size() == resource.size() + kAll.size() && text.substr(resource.size()) == kAll &&
         text.substr(0, resource.size()) == resource;
}

}  // namespace

Pattern::Pattern(std::string_view text)
    : text_(text), prefix_(!text.empty() && text.back() == '*') {}

bool Pattern::Matches(std::string_view value) const {
  const std::string_view text = text_;
  if (!prefix_) return value == text;
  return value.substr(0, text.size() - 1) == text.substr(0, text.size() - 1);
}

bool MatchesMember(const Pattern& member, std::string_view principal) {
  if (member.text() == kAuthenticated) return principal != kAnonymous;
  return member.Matches(principal);
}

Policy::Policy(std::vector<Binding> bindings, std::vector<QuotaRule> quotas,
               std::map<std::string, std::vector<Pattern>> groups)
    : bindings_(std::move(bindings)), quotas_(std::move(quotas)) {
  groups_.insert(groups.begin(), groups.end());
}

bool Policy::Grants(std::string_view principal, Right right, std::string_view resource) const {
  return std::any_of(bindings_.begin(), bindings_.end(), [&](const Binding& binding) {
    return binding.rights.has(right) &&
           std::any_of(binding.resources.begin(), binding.resources.end(),
                       [&](const Pattern& pattern) { return Covers(pattern, resource); }) &&
           AnyMember(binding.members, principal);
  });
}

const std::vector<Pattern>* Policy::Group(std::string_view name) const {
  const auto found = groups_.find(name);
  return found == groups_.end() ? nullptr : &found->second;
}

Quota Policy::QuotaOfMember(std::string_view principal) const {
  for (const QuotaRule& rule : quotas_) {
    if (AnyMember(rule.members, principal)) return rule.quota;
  }
  return {};
}

Quota Policy::QuotaOfProject(std::string_view project) const {
  for (const QuotaRule& rule : quotas_) {
    for (const Pattern& pattern : rule.projects) {
      if (pattern.Matches(project)) return rule.quota;
    }
  }
  return {};
}

}  // namespace sluice::server
