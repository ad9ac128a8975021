// Who may do what, as the policy file says: roles bound to members for patterns of resources; and
// what each may use at most.
//
//   groups:
//     team-a: [token:ci-a, "jwt:alice@example.com", "cert:spiffe://example.com/ns/team-a/*"]
//     everyone: [group:team-a, token:ci-b]
//   bindings:
//     - {role: editor, members: [group:team-a], resources: [projects/team-a/*]}
//     - {role: viewer, members: [token:prometheus], resources: ["*"]}
//   quotas:
//     - {members: [group:team-a], messages_per_second: 10000, bytes_per_second: 20MiB}    # each member
//     - {projects: [team-b], messages_per_second: 50k}                                    # each project
//
// A member is a principal (jwt:NAME, token:NAME, cert:SPIFFE-URI-OR-SUBJECT, anonymous), one that
// ends in * for all that begin so, group:NAME, "authenticated", or "*" for everyone. A resource is
// a full name, a prefix that ends in *, or "*", which is also the server itself; projects/P/* means
// projects/P as well.
//
// What a policy does not grant is denied.
//
// Thread rule: a value that is not changed once it is read.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/flow/admission.h"
#include "server/security/auth/rights.h"

namespace sluice::server {

// A string, or all that begin with it.
class Pattern {
 public:
  explicit Pattern(std::string_view text);
  bool Matches(std::string_view value) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  bool prefix_ = false;
};

inline constexpr std::string_view kAnonymous = "anonymous";

class Policy {
 public:
  struct Binding {
    Rights rights;
    std::vector<Pattern> members;
    std::vector<Pattern> resources;
  };
  // Of each member, or of each project.
  struct QuotaRule {
    std::vector<Pattern> members;
    std::vector<Pattern> projects;
    Quota quota;
  };

  // INVALID_ARGUMENT (INVALID_POLICY) says the file, the line and what is wrong there. Groups may
  // name groups, but not in a loop.
  static absl::StatusOr<std::shared_ptr<const Policy>> Read(const std::string& path);
  static absl::StatusOr<std::shared_ptr<const Policy>> Parse(const std::string& text,
                                                             const std::string& path);

  Policy() = default;
  Policy(std::vector<Binding> bindings, std::vector<QuotaRule> quotas,
         std::map<std::string, std::vector<Pattern>> groups);

  bool Grants(std::string_view principal, Right right, std::string_view resource) const;
  // The members of a group, groups in it resolved; for policies of resources. Null for none.
  const std::vector<Pattern>* Group(std::string_view name) const;
  // On publishing, of the first rule with this member; with this project ("projects/P").
  Quota QuotaOfMember(std::string_view principal) const;
  Quota QuotaOfProject(std::string_view project) const;
  bool has_quotas() const { return !quotas_.empty(); }

  size_t bindings() const { return bindings_.size(); }

 private:
  std::vector<Binding> bindings_;
  std::vector<QuotaRule> quotas_;
  std::map<std::string, std::vector<Pattern>, std::less<>> groups_;
};

// A member that is no group matches a principal.
bool MatchesMember(const Pattern& member, std::string_view principal);

}  // namespace sluice::server
