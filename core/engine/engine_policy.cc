#include "core/engine/engine.h"

namespace sluice {
namespace {

// `change` for whatever has a policy.
template <class Config>
auto Changing(const Engine::PolicyChange& change) {
  return [change](Config* config) {
    auto policy = change(config->iam_policy);
    if (policy.ok()) config->iam_policy = *policy;
    return policy.status();
  };
}

template <class Config>
auto Telling(Engine::Done<std::string> done) {
  return [done = std::move(done)](const absl::StatusOr<Config>& changed) {
    changed.ok() ? done(changed->iam_policy) : done(changed.status());
  };
}

}  // namespace

void Engine::ChangePolicy(const TopicName& name, const PolicyChange& change,
                          Done<std::string> done) {
  ReconfigureTopic(name.full(), Changing<TopicConfig>(change),
                   Telling<TopicConfig>(std::move(done)));
}

void Engine::ChangePolicy(const SubscriptionName& name, const PolicyChange& change,
                          Done<std::string> done) {
  ChangeStoredPolicy(Reason::kSubscriptionNotFound, name.full(), change, std::move(done));
}

void Engine::ChangePolicy(const SnapshotName& name, const PolicyChange& change,
                          Done<std::string> done) {
  ChangeStoredPolicy(Reason::kSnapshotNotFound, name.full(), change, std::move(done));
}

void Engine::ChangeStoredPolicy(Reason missing, const std::string& name, const PolicyChange& change,
                                Done<std::string> done) {
  Reconfigure(missing, name, Changing<SubscriptionConfig>(change), /*apply=*/nullptr,
              Telling<SubscriptionConfig>(std::move(done)));
}

}  // namespace sluice
