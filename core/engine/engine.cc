#include "core/engine/engine.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr absl::Duration kRetentionInterval = absl::Seconds(10);

// "topics" of projects/P/topics/T.
std::string_view KindOf(std::string_view name) {
  const size_t end = name.rfind('/');
  const size_t begin = name.rfind('/', end - 1) + 1;
  return name.substr(begin, end - begin);
}

}  // namespace

absl::Status NotFoundError(Reason reason, const std::string& name) {
  return Error(reason, fmt::format("Resource not found (resource={}).", name), {{"value", name}});
}

absl::Status ExistsError(Reason reason, const std::string& name) {
  return Error(reason, fmt::format("Resource already exists in the project (resource={}).", name),
               {{"value", name}});
}

absl::Status BeingChangedError(const std::string& name) {
  return Error(Reason::kConcurrentChange,
               fmt::format("{} is being changed by another request; try again", name),
               {{"value", name}});
}

void ResolveStart(const std::shared_ptr<Topic>& topic, const StartPosition& start,
                  TopicLog::OffsetDone done) {
  if (const auto* time = std::get_if<absl::Time>(&start))
    return topic->log().OffsetAt(*time, std::move(done));
  const LogExtent extent = topic->log().extent();
  const Offset end = topic->durable_end();
  if (const auto* offset = std::get_if<Offset>(&start)) {
    return done(std::clamp(*offset, extent.first, std::max(extent.first, end)));
  }
  done(std::holds_alternative<Earliest>(start) ? extent.first : end);
}

CursorState StateAt(Offset start) { return {.acked = AckSet(start), .failures = {}}; }

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(std::unique_ptr<Backend> backend,
                                                     const Clock& clock, Metrics& metrics,
                                                     const EngineOptions& options) {
  if (absl::Status status = Validate(options.store_breaker, "store_breaker"); !status.ok())
    return status;
  auto context = std::make_shared<EngineContext>(std::move(backend), clock, metrics, options);
  auto engine = std::unique_ptr<Engine>(new Engine(std::move(context), options));
  engine->context_->find_topic = [engine = engine.get()](const TopicName& name) {
    return engine->FindTopic(name).value_or(nullptr);
  };
  if (absl::Status status = engine->Recover(); !status.ok()) return status;
  for (const auto& topic : engine->AllTopics()) {
    // Dead letters that were on their way.
    for (const auto list = topic->subscriptions(); const auto& subscription : *list) {
      subscription->OnEndMoved(topic->durable_end());
    }
    // A crash may have come between acknowledgements and the trim that follows them.
    topic->FreeAcked();
    topic->ScanForExpiry();
    if (topic->deleted()) engine->ReleaseTopic(topic);
  }
  if (options.run_timers) engine->context_->timers.Start();
  engine->ScheduleRetention();
  return engine;
}

Engine::~Engine() {
  if (!context_->gate.closed()) Shutdown(absl::Seconds(10)).IgnoreError();
}

absl::Status Engine::Recover() {
  auto contents = context_->backend->catalogue().Load();
  if (!contents.ok()) return contents.status();
  absl::flat_hash_map<TopicId, std::shared_ptr<Topic>> by_id;
  MutexLock lock(mu_);
  for (const TopicRecord& record : contents->topics) {
    auto config = DecodeTopicConfig(record.config);
    if (!config.ok()) return config.status();
    const std::string name = config->name.full();
    auto topic = std::make_shared<Topic>(context_, record.id, *std::move(config));
    topic->SeedTimes();
    by_id[record.id] = topic;
    if (topic->deleted()) {
      deleted_topics_[record.id] = std::move(topic);
    } else {
      topics_[name] = std::move(topic);
    }
  }
  for (const SubscriptionRecord& record : contents->subscriptions) {
    auto config = DecodeSubscriptionConfig(record.config);
    if (!config.ok()) return config.status();
    const std::string name = config->name.full();
    auto found = by_id.find(config->topic_id);
    std::shared_ptr<Topic> topic = found == by_id.end() ? nullptr : found->second;
    if (topic == nullptr || topic->deleted()) config->topic.reset();
    if (config->detached) topic = nullptr;
    std::shared_ptr<Cursor> cursor = context_->backend->OpenCursor(record.id);
    const CursorState state = cursor->state();
    auto subscription = std::make_shared<Subscription>(context_, record.id, *std::move(config),
                                                       topic, std::move(cursor), state);
    subscription->RestoreLeases(state.leases);
    if (topic != nullptr) topic->Add(subscription);
    if (subscription->is_snapshot()) {
      snapshots_[SnapshotNameOf(subscription->config().name).full()] = std::move(subscription);
    } else {
      subscriptions_[name] = std::move(subscription);
    }
  }
  return absl::OkStatus();
}

void Engine::ScheduleRetention() {
  context_->timers.At(context_->clock.Now() + kRetentionInterval, [this] {
    DropExpiredSnapshots();
    DropIdleSubscriptions();
    EnforceRetention();
    ScheduleRetention();
  });
}

void Engine::Free(const std::string& name) {
  MutexLock lock(mu_);
  changing_.erase(name);
}

template <class Map>
absl::Status Engine::BeginCreate(const Map& map, const std::string& name, size_t most,
                                 Reason exists, Reason too_many) {
  if (map.contains(name) || changing_.contains(name)) return ExistsError(exists, name);
  // Those being made count; their names are of the same kind and not in the map yet.
  const std::string_view kind = KindOf(name);
  const auto making =
      std::count_if(changing_.begin(), changing_.end(), [&](const std::string& changing) {
        return KindOf(changing) == kind && !map.contains(changing);
      });
  if (map.size() + static_cast<size_t>(making) >= most) {
    return Error(
        too_many,
        fmt::format("{}: the server has {} {}, the most there may be", name, map.size(), kind),
        {{"value", name}, {"limit", std::to_string(most)}});
  }
  Reserve(name);
  return absl::OkStatus();
}

void Engine::CreateTopic(TopicConfig config, Done<TopicConfig> done) {
  if (absl::Status status = Validate(config); !status.ok()) return done(status);
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  const std::string name = config.name.full();
  config.create_time = context_->clock.WallNow();
  TopicRecord record{TopicId(context_->backend->catalogue().NewId()), Encode(config)};
  const TopicId id = record.id;
  absl::Status reserved;
  {
    MutexLock lock(mu_);
    reserved =
        BeginCreate(topics_, name, max_topics_, Reason::kTopicExists, Reason::kTooManyTopics);
  }
  if (!reserved.ok()) return done(reserved);
  auto finish = Finishing(name, std::move(pass), std::move(done));
  context_->backend->catalogue().PutTopic(
      std::move(record), [this, id, name, config = std::move(config),
                          finish = std::move(finish)](const absl::Status& status) {
        if (!status.ok()) return finish(status);
        auto topic = std::make_shared<Topic>(context_, id, config);
        {
          MutexLock lock(mu_);
          topics_[name] = std::move(topic);
        }
        finish(config);
      });
}

void Engine::UpdateTopic(TopicConfig config, Done<TopicConfig> done) {
  if (absl::Status status = Validate(config); !status.ok()) return done(status);
  const std::string name = config.name.full();
  const auto change = [&](TopicConfig* current) {
    config.create_time = current->create_time;
    config.iam_policy = current->iam_policy;
    *current = std::move(config);
    return absl::OkStatus();
  };
  ReconfigureTopic(name, change, std::move(done));
}

void Engine::ReconfigureTopic(const std::string& name,
                              const std::function<absl::Status(TopicConfig*)>& change,
                              Done<TopicConfig> done) {
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  absl::StatusOr<std::shared_ptr<Topic>> topic;
  {
    MutexLock lock(mu_);
    topic = BeginChange(topics_, name, Reason::kTopicNotFound);
  }
  if (!topic.ok()) return done(topic.status());
  auto finish = Finishing(name, std::move(pass), std::move(done));
  TopicConfig config = (*topic)->config();
  if (absl::Status status = change(&config); !status.ok()) return finish(status);
  TopicRecord record{(*topic)->id(), Encode(config)};
  context_->backend->catalogue().PutTopic(std::move(record),
                                          [topic = *topic, config = std::move(config),
                                           finish = std::move(finish)](const absl::Status& status) {
                                            if (!status.ok()) return finish(status);
                                            topic->SetConfig(config);
                                            finish(config);
                                          });
}

void Engine::CreateSubscription(SubscriptionConfig config, StartPosition start,
                                Done<SubscriptionConfig> done) {
  if (absl::Status status = Validate(config); !status.ok()) return done(status);
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  const std::string name = config.name.full();
  absl::Status reserved;
  {
    MutexLock lock(mu_);
    reserved = BeginCreate(subscriptions_, name, max_subscriptions_, Reason::kSubscriptionExists,
                           Reason::kTooManySubscriptions);
  }
  // A name that is taken is the answer whatever else is wrong: who creates what is missing goes by
  // it.
  if (!reserved.ok()) return done(reserved);
  auto finish = Finishing(name, std::move(pass), std::move(done));
  auto topic = FindTopic(*config.topic);
  if (!topic.ok()) return finish(topic.status());
  if (absl::Status status = CheckDeadLetter(config); !status.ok()) return finish(status);
  config.create_time = context_->clock.WallNow();
  config.topic_id = (*topic)->id();
  const SubscriptionId id(context_->backend->catalogue().NewId());
  ResolveStart(*topic, start,
               [this, id, name, topic = *topic, config = std::move(config),
                finish = std::move(finish)](const absl::StatusOr<Offset>& offset) {
                 if (!offset.ok()) return finish(offset.status());
                 const CursorState state = StateAt(*offset);
                 context_->backend->catalogue().PutSubscription(
                     {id, Encode(config)}, &state,
                     [this, id, name, topic, config, state, finish](const absl::Status& status) {
                       if (!status.ok()) return finish(status);
                       auto subscription = std::make_shared<Subscription>(
                           context_, id, config, topic, context_->backend->OpenCursor(id), state);
                       {
                         MutexLock lock(mu_);
                         subscriptions_[name] = subscription;
                       }
                       AddTo(topic, subscription);
                       TellConfigured(subscription);
                       finish(config);
                     });
               });
}

// The topic must be there, and no way may lead from it back to where the messages come from.
absl::Status Engine::CheckDeadLetter(const SubscriptionConfig& config) const {
  if (!config.dead_letter) return absl::OkStatus();
  const auto invalid = [](const TopicName& topic, std::string_view problem) {
    constexpr std::string_view kField = "subscription.dead_letter_policy.dead_letter_topic";
    return Error(Reason::kInvalidDeadLetterPolicy,
                 fmt::format("{}: {} {}", kField, topic.full(), problem),
                 {{"field", std::string(kField)}, {"value", topic.full()}});
  };
  if (config.topic && config.dead_letter->topic == *config.topic) {
    return invalid(*config.topic, "is the topic that the messages come from");
  }
  auto first = FindTopic(config.dead_letter->topic);
  if (!first.ok()) return first.status();
  // Nothing comes to a topic that was deleted.
  if (!config.topic) return absl::OkStatus();
  std::vector<TopicName> ahead = {config.dead_letter->topic};
  for (size_t i = 0; i < ahead.size(); ++i) {
    auto topic = FindTopic(ahead[i]);
    if (!topic.ok()) continue;
    for (const auto list = (*topic)->subscriptions(); const auto& subscription : *list) {
      const auto next = subscription->config().dead_letter;
      if (!next || std::find(ahead.begin(), ahead.end(), next->topic) != ahead.end()) continue;
      if (next->topic == *config.topic) {
        return invalid(config.dead_letter->topic,
                       fmt::format("leads back to {}", config.topic->full()));
      }
      ahead.push_back(next->topic);
    }
  }
  return absl::OkStatus();
}

void Engine::Reconfigure(Reason missing, const std::string& name, const Change& change, Apply apply,
                         Done<SubscriptionConfig> done) {
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  absl::StatusOr<std::shared_ptr<Subscription>> found;
  {
    MutexLock lock(mu_);
    found = BeginChange(Stored(missing), name, missing);
  }
  if (!found.ok()) return done(found.status());
  auto finish = Finishing(name, std::move(pass), std::move(done));
  SubscriptionConfig config = (*found)->config();
  if (absl::Status status = change(&config); !status.ok()) return finish(status);
  SubscriptionRecord record{(*found)->id(), Encode(config)};
  context_->backend->catalogue().PutSubscription(
      std::move(record), nullptr,
      [this, subscription = *found, config = std::move(config), apply = std::move(apply),
       finish = std::move(finish)](const absl::Status& status) {
        if (!status.ok()) return finish(status);
        subscription->SetConfig(config);
        if (apply) apply(*subscription);
        if (!subscription->is_snapshot()) TellConfigured(subscription);
        finish(config);
      });
}

void Engine::UpdateSubscription(SubscriptionConfig config, Done<SubscriptionConfig> done) {
  if (absl::Status status = Validate(config); !status.ok()) return done(status);
  const std::string name = config.name.full();
  const auto change = [&](SubscriptionConfig* current) {
    if (current->settings_lost) return SettingsLostError(current->name);
    config.create_time = current->create_time;
    config.topic = current->topic;
    config.topic_id = current->topic_id;
    config.detached = current->detached;
    config.iam_policy = current->iam_policy;
    *current = std::move(config);
    return CheckDeadLetter(*current);
  };
  const auto apply = [](const Subscription& subscription) {
    if (const auto topic = subscription.topic(); topic.ok()) (*topic)->Refresh(&subscription);
  };
  Reconfigure(Reason::kSubscriptionNotFound, name, change, apply, std::move(done));
}

void Engine::DeleteSubscription(const SubscriptionName& name, StatusDone done) {
  Drop(Reason::kSubscriptionNotFound, name.full(), std::move(done));
}

void Engine::DetachSubscription(const SubscriptionName& name, StatusDone done) {
  const auto change = [](SubscriptionConfig* config) {
    config->detached = true;
    return absl::OkStatus();
  };
  const auto apply = [this, name](Subscription& subscription) {
    LeaveTopic(subscription, DetachedError(name));
  };
  Reconfigure(Reason::kSubscriptionNotFound, name.full(), change, apply,
              [done = std::move(done)](const absl::StatusOr<SubscriptionConfig>& detached) {
                done(detached.status());
              });
}

void Engine::LeaveTopic(Subscription& subscription, const absl::Status& why) {
  const auto topic = subscription.topic();
  subscription.LeaveTopic();
  subscription.End(why);
  if (topic.ok() && (*topic)->deleted()) ReleaseTopic(*topic);
}

// A restart counts as a use, since nobody could use it meanwhile.
void Engine::DropIdleSubscriptions() {
  const Instant now = context_->clock.Now();
  for (const auto& subscription : ListSubscriptions("", "", SIZE_MAX)) {
    if (!subscription->Unused(now)) continue;
    context_->metrics.engine.expired_subscriptions.Add();
    DeleteSubscription(subscription->config().name, [](const absl::Status&) {});
  }
}

void Engine::Drop(Reason missing, const std::string& name, StatusDone done) {
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  absl::StatusOr<std::shared_ptr<Subscription>> found;
  {
    MutexLock lock(mu_);
    found = BeginChange(Stored(missing), name, missing);
  }
  if (!found.ok()) return done(found.status());
  auto finish = Finishing(name, std::move(pass), std::move(done));
  context_->backend->catalogue().RemoveSubscription(
      (*found)->id(), [this, missing, name, subscription = *found,
                       finish = std::move(finish)](const absl::Status& status) {
        if (!status.ok()) return finish(status);
        {
          MutexLock lock(mu_);
          Stored(missing).erase(name);
        }
        LeaveTopic(*subscription, NotFoundError(missing, name));
        finish(status);
      });
}

absl::StatusOr<std::shared_ptr<Topic>> Engine::FindTopic(const TopicName& name) const {
  MutexLock lock(mu_);
  auto it = topics_.find(name.full());
  if (it == topics_.end() || it->second->deleted())
    return NotFoundError(Reason::kTopicNotFound, name.full());
  return it->second;
}

absl::StatusOr<std::shared_ptr<Subscription>> Engine::FindSubscription(
    const SubscriptionName& name) const {
  MutexLock lock(mu_);
  auto it = subscriptions_.find(name.full());
  if (it == subscriptions_.end()) return NotFoundError(Reason::kSubscriptionNotFound, name.full());
  return it->second;
}

std::vector<std::shared_ptr<Topic>> Engine::ListTopics(std::string_view project_path,
                                                       std::string_view after, size_t limit) const {
  MutexLock lock(mu_);
  return PageOf(topics_, project_path.empty() ? "" : fmt::format("{}/topics/", project_path), after,
                limit);
}

std::vector<std::shared_ptr<Subscription>> Engine::ListSubscriptions(std::string_view project_path,
                                                                     std::string_view after,
                                                                     size_t limit) const {
  MutexLock lock(mu_);
  return PageOf(subscriptions_,
                project_path.empty() ? "" : fmt::format("{}/subscriptions/", project_path), after,
                limit);
}

void Engine::OpenEphemeral(SubscriptionConfig config, StartPosition start,
                           Done<std::shared_ptr<Subscription>> done) {
  if (config.dead_letter) {
    return done(Error(Reason::kInvalidDeadLetterPolicy,
                      "an ephemeral subscription has no dead-letter policy"));
  }
  if (absl::Status status = Validate(config); !status.ok()) return done(status);
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  auto topic = FindTopic(*config.topic);
  if (!topic.ok()) return done(topic.status());
  config.create_time = context_->clock.WallNow();
  config.topic_id = (*topic)->id();
  ResolveStart(
      *topic, start,
      [this, topic = *topic, config = std::move(config), done = std::move(done),
       pass = std::make_shared<Gate::Pass>(std::move(pass))](const absl::StatusOr<Offset>& offset) {
        if (!offset.ok()) return done(offset.status());
        auto subscription = std::make_shared<Subscription>(context_, SubscriptionId(0), config,
                                                           topic, nullptr, StateAt(*offset));
        AddTo(topic, subscription);
        done(std::move(subscription));
      });
}

void Engine::EndSubscriptions() const {
  for (const auto& topic : AllTopics()) {
    for (const auto list = topic->subscriptions(); const auto& subscription : *list)
      subscription->End(DrainingError());
  }
  for (const auto& subscription : ListSubscriptions("", "", SIZE_MAX))
    subscription->End(DrainingError());
}

absl::Status Engine::Shutdown(absl::Duration deadline) {
  context_->gate.Close();
  EndSubscriptions();
  const bool empty = context_->gate.WaitEmpty(deadline);
  // Those that were being made meanwhile.
  EndSubscriptions();
  context_->timers.Stop();
  absl::Status closed = context_->backend->Close();
  {
    // Topics and subscriptions that a caller still holds must not hold each other.
    MutexLock lock(mu_);
    topics_.clear();
    deleted_topics_.clear();
    subscriptions_.clear();
    snapshots_.clear();
  }
  if (!empty)
    return Error(Reason::kDeadlineExceeded,
                 "publishes were still under way when the time to shut down ended");
  return closed;
}

size_t Engine::topic_count() const {
  MutexLock lock(mu_);
  return topics_.size();
}

size_t Engine::subscription_count() const {
  MutexLock lock(mu_);
  return subscriptions_.size();
}

}  // namespace sluice
