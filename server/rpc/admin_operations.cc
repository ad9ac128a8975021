#include "server/rpc/admin_operations.h"

#include "server/push/endpoint.h"

namespace sluice::server {

absl::Status AdminOperations::CheckPushOf(const SubscriptionConfig& config) const {
  return CheckPush(config, context_.push_to_private);
}

void AdminOperations::CreateTopic(absl::StatusOr<TopicConfig> wanted,
                                  const Done<TopicConfig>& done) const {
  wanted.ok() ? engine_.CreateTopic(*std::move(wanted), done) : done(wanted.status());
}

absl::StatusOr<std::shared_ptr<Topic>> AdminOperations::FindTopic(NameField name) const {
  auto parsed = TopicName::Parse(name.name, name.field);
  if (!parsed.ok()) return parsed.status();
  return engine_.FindTopic(*parsed);
}

absl::StatusOr<TopicConfig> AdminOperations::GetTopic(NameField name) const {
  auto topic = FindTopic(name);
  if (!topic.ok()) return topic.status();
  return (*topic)->config();
}

void AdminOperations::DeleteTopic(NameField name, const StatusDone& done) const {
  auto parsed = TopicName::Parse(name.name, name.field);
  parsed.ok() ? engine_.DeleteTopic(*parsed, done) : done(parsed.status());
}

void AdminOperations::CreateSubscription(absl::StatusOr<SubscriptionConfig> wanted,
                                         const absl::StatusOr<StartPosition>& start,
                                         const Done<SubscriptionConfig>& done) const {
  absl::Status status = wanted.ok() ? CheckPushOf(*wanted) : wanted.status();
  if (status.ok()) status = start.status();
  status.ok() ? engine_.CreateSubscription(*std::move(wanted), *start, done) : done(status);
}

absl::StatusOr<std::shared_ptr<Subscription>> AdminOperations::FindSubscription(
    NameField name) const {
  auto parsed = SubscriptionName::Parse(name.name, name.field);
  if (!parsed.ok()) return parsed.status();
  return engine_.FindSubscription(*parsed);
}

absl::StatusOr<SubscriptionConfig> AdminOperations::GetSubscription(NameField name) const {
  auto subscription = FindSubscription(name);
  if (!subscription.ok()) return subscription.status();
  return (*subscription)->config();
}

void AdminOperations::DeleteSubscription(NameField name, const StatusDone& done) const {
  auto parsed = SubscriptionName::Parse(name.name, name.field);
  parsed.ok() ? engine_.DeleteSubscription(*parsed, done) : done(parsed.status());
}

void AdminOperations::DetachSubscription(NameField name, const StatusDone& done) const {
  auto parsed = SubscriptionName::Parse(name.name, name.field);
  parsed.ok() ? engine_.DetachSubscription(*parsed, done) : done(parsed.status());
}

void AdminOperations::Seek(NameField name, const absl::StatusOr<SeekTarget>& to,
                           const StatusDone& done) const {
  auto parsed = SubscriptionName::Parse(name.name, name.field);
  if (!parsed.ok()) return done(parsed.status());
  if (!to.ok()) return done(to.status());
  std::visit([&](const auto& target) { engine_.Seek(*parsed, target, done); }, *to);
}

void AdminOperations::CreateSnapshot(NameField name, NameField subscription, Labels labels,
                                     const Done<Snapshot>& done) const {
  auto parsed = SnapshotName::Parse(name.name, name.field);
  if (!parsed.ok()) return done(parsed.status());
  auto source = SubscriptionName::Parse(subscription.name, subscription.field);
  source.ok() ? engine_.CreateSnapshot(*parsed, *source, std::move(labels), done)
              : done(source.status());
}

absl::StatusOr<Snapshot> AdminOperations::GetSnapshot(NameField name) const {
  auto parsed = SnapshotName::Parse(name.name, name.field);
  if (!parsed.ok()) return parsed.status();
  return engine_.FindSnapshot(*parsed);
}

void AdminOperations::DeleteSnapshot(NameField name, const StatusDone& done) const {
  auto parsed = SnapshotName::Parse(name.name, name.field);
  parsed.ok() ? engine_.DeleteSnapshot(*parsed, done) : done(parsed.status());
}

}  // namespace sluice::server
