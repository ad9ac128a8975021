// Deleting a topic. Its name is free at once. Its messages stay for the subscriptions and snapshots
// that it has, and go with the last of them: until then the catalogue has the topic as a deleted
// one.
#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/engine/engine.h"
#include "fmt/format.h"

namespace sluice {
namespace {

// Whether a subscription or a snapshot, also one that is just being made, needs the topic's
// messages.
bool IsHeld(const Topic& topic) {
  const auto list = topic.subscriptions();
  return std::any_of(list->begin(), list->end(),
                     [](const auto& s) { return !s->ephemeral() || s->is_snapshot(); });
}

}  // namespace

void Engine::DeleteTopic(const TopicName& topic_name, StatusDone done) {
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  const std::string& name = topic_name.full();
  absl::StatusOr<std::shared_ptr<Topic>> found;
  {
    MutexLock lock(mu_);
    found = BeginChange(topics_, name, Reason::kTopicNotFound);
  }
  if (!found.ok()) return done(found.status());
  const std::shared_ptr<Topic> topic = *std::move(found);
  topic->SetDeleted(true);
  const bool held = IsHeld(*topic);
  auto stored = [this, name, topic, held, done = std::move(done),
                 pass = std::make_shared<Gate::Pass>(std::move(pass))](const absl::Status& status) {
    if (!status.ok()) {
      topic->SetDeleted(false);
      Free(name);
      return done(status);
    }
    {
      MutexLock lock(mu_);
      topics_.erase(name);
      if (held) deleted_topics_[topic->id()] = topic;
    }
    Free(name);
    for (const auto list = topic->subscriptions(); const auto& subscription : *list)
      OnTopicDeleted(topic, subscription);
    // The last of them may have gone meanwhile.
    held ? ReleaseTopic(topic) : context_->tail.DropBefore(topic->id(), topic->durable_end());
    done(absl::OkStatus());
  };
  if (!held) return context_->backend->catalogue().RemoveTopic(topic->id(), std::move(stored));
  TopicConfig config = topic->config();
  config.deleted = true;
  context_->backend->catalogue().PutTopic({topic->id(), Encode(config)}, std::move(stored));
}

void Engine::AddTo(const std::shared_ptr<Topic>& topic,
                   const std::shared_ptr<Subscription>& subscription) {
  topic->Add(subscription);
  // What became durable since the subscription looked would otherwise wait for the next publish.
  subscription->OnEndMoved(topic->durable_end());
  // What was kept for the first subscription to come, and is not wanted by it.
  if (!subscription->ephemeral()) topic->FreeAcked();
  {
    MutexLock lock(mu_);
    const auto it = topics_.find(topic->config().name.full());
    // One that is being deleted tells those it knows of.
    if (it != topics_.end() && it->second == topic) return;
  }
  OnTopicDeleted(topic, subscription);
}

void Engine::OnTopicDeleted(const std::shared_ptr<Topic>& topic,
                            const std::shared_ptr<Subscription>& subscription) {
  bool kept = false;
  {
    MutexLock lock(mu_);
    kept = deleted_topics_.contains(topic->id());
  }
  if (kept && (!subscription->ephemeral() || subscription->is_snapshot()))
    return subscription->LoseTopicName();
  const std::string name = topic->config().name.full();
  context_->metrics.engine.dropped_by_topic_deletion.Add(
      static_cast<uint64_t>(subscription->stats().backlog_messages));
  subscription->LoseTopicName();
  topic->Remove(subscription.get());
  subscription->End(Error(Reason::kTopicDeleted, fmt::format("topic {} was deleted", name),
                          {{"field", "topic"}, {"value", name}}));
}

void Engine::ReleaseTopic(const std::shared_ptr<Topic>& topic) {
  Gate::Pass pass(context_->gate);
  // Otherwise the next start does it.
  if (!pass) return;
  {
    MutexLock lock(mu_);
    if (IsHeld(*topic) || deleted_topics_.erase(topic->id()) == 0) return;
  }
  context_->backend->catalogue().RemoveTopic(
      topic->id(), [this, topic, pass = std::make_shared<Gate::Pass>(std::move(pass))](
                       const absl::Status& status) {
        if (status.ok()) return context_->tail.DropBefore(topic->id(), topic->durable_end());
        // Tried again by EnforceRetention.
        MutexLock lock(mu_);
        deleted_topics_[topic->id()] = topic;
      });
}

std::vector<std::shared_ptr<Topic>> Engine::AllTopics() const {
  std::vector<std::shared_ptr<Topic>> all;
  MutexLock lock(mu_);
  all.reserve(topics_.size() + deleted_topics_.size());
  for (const auto& [name, topic] : topics_) all.push_back(topic);
  for (const auto& [id, topic] : deleted_topics_) all.push_back(topic);
  return all;
}

void Engine::EnforceRetention() {
  for (const auto& topic : AllTopics()) {
    topic->EnforceRetention();
    if (topic->deleted()) ReleaseTopic(topic);
  }
}

}  // namespace sluice
