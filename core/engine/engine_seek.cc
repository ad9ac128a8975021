// Seeking and snapshots. A snapshot is a subscription that nobody reads: it stands still where
// another one was, so that the log keeps what it has not acknowledged, and its progress is what
// others seek to.
#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/engine/engine.h"
#include "fmt/format.h"

namespace sluice {
namespace {

Snapshot Describe(const SubscriptionConfig& config) {
  return {SnapshotNameOf(config.name), config.topic, *config.snapshot_until, config.labels,
          config.iam_policy};
}

}  // namespace

void Engine::SeekTo(const SubscriptionName& subscription_name, const Resolve& resolve,
                    StatusDone done) {
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  const std::string& name = subscription_name.full();
  absl::StatusOr<std::shared_ptr<Subscription>> found;
  {
    MutexLock lock(mu_);
    found = BeginChange(subscriptions_, name, Reason::kSubscriptionNotFound);
  }
  if (!found.ok()) return done(found.status());
  auto finish = [this, name, done = std::move(done),
                 pass = std::make_shared<Gate::Pass>(std::move(pass))](const absl::Status& status) {
    Free(name);
    done(status);
  };
  const auto topic = (*found)->topic();
  if (!topic.ok()) return finish(topic.status());
  resolve(**found, *topic,
          [subscription = *found, topic = *topic,
           finish = std::move(finish)](absl::StatusOr<CursorState> state) {
            if (!state.ok()) return finish(state.status());
            const Offset floor = state->acked.floor();
            topic->BeginSeek(floor);
            subscription->Seek(*std::move(state),
                               [subscription, topic, floor, finish](const absl::Status& status) {
                                 topic->EndSeek(subscription.get(), floor);
                                 finish(status);
                               });
          });
}

void Engine::Seek(const SubscriptionName& name, const StartPosition& to, StatusDone done) {
  const auto resolve = [&to](const Subscription&, const std::shared_ptr<Topic>& topic,
                             Done<CursorState> resolved) {
    ResolveStart(topic, to, [resolved = std::move(resolved)](const absl::StatusOr<Offset>& offset) {
      offset.ok() ? resolved(StateAt(*offset)) : resolved(offset.status());
    });
  };
  SeekTo(name, resolve, std::move(done));
}

void Engine::Seek(const SubscriptionName& name, const SnapshotName& snapshot, StatusDone done) {
  const auto resolve = [&](const Subscription& subscription, const std::shared_ptr<Topic>& topic,
                           const Done<CursorState>& resolved) {
    const SubscriptionConfig config = subscription.config();
    std::shared_ptr<Subscription> stored;
    {
      MutexLock lock(mu_);
      if (auto it = snapshots_.find(snapshot.full()); it != snapshots_.end()) stored = it->second;
    }
    if (stored == nullptr)
      return resolved(NotFoundError(Reason::kSnapshotNotFound, snapshot.full()));
    if (stored->config().topic_id != config.topic_id) {
      return resolved(Error(
          Reason::kInvalidSeek,
          fmt::format("snapshot: {} is of another topic than {}", snapshot.full(), name.full()),
          {{"field", "snapshot"},
           {"value", snapshot.full()},
           {"limit", config.topic ? config.topic->full() : std::string(kDeletedTopic)}}));
    }
    CursorState state = stored->Progress();
    // What retention took meanwhile is gone.
    state.acked.Add({Offset(1), topic->log().extent().first});
    resolved(std::move(state));
  };
  SeekTo(name, resolve, std::move(done));
}

void Engine::CreateSnapshot(const SnapshotName& snapshot, const SubscriptionName& subscription,
                            Labels labels, Done<Snapshot> done) {
  Gate::Pass pass(context_->gate);
  if (!pass) return done(DrainingError());
  const std::string& name = snapshot.full();
  {
    MutexLock lock(mu_);
    if (snapshots_.contains(name) || !Reserve(name)) {
      lock.Unlock();
      return done(ExistsError(Reason::kSnapshotExists, name));
    }
  }
  auto finish = Finishing(name, std::move(pass), std::move(done));
  auto source = FindSubscription(subscription);
  if (!source.ok()) return finish(source.status());
  SubscriptionConfig config;
  config.name = StoredNameOf(snapshot);
  config.topic = (*source)->config().topic;
  config.topic_id = (*source)->config().topic_id;
  config.labels = std::move(labels);
  config.create_time = context_->clock.WallNow();
  config.snapshot_until = config.create_time + kSnapshotLife;
  if (absl::Status status = Validate(config); !status.ok()) return finish(status);
  const auto topic = (*source)->topic();
  if (!topic.ok()) return finish(topic.status());
  StoreSnapshot(snapshot, std::move(config), *topic, *source, std::move(finish));
}

void Engine::StoreSnapshot(const SnapshotName& name, SubscriptionConfig config,
                           const std::shared_ptr<Topic>& topic,
                           const std::shared_ptr<Subscription>& source, Done<Snapshot> done) {
  // Holds the log back from now on; what is acknowledged and trimmed before is acknowledged in
  // `state` too.
  auto holder = std::make_shared<Subscription>(context_, SubscriptionId(0), config, topic, nullptr,
                                               source->Progress());
  topic->Add(holder);
  const CursorState state = source->Progress();
  const Offset oldest = state.acked.floor();
  const auto oldest_time =
      oldest < topic->durable_end() ? topic->PublishTimeOf(oldest) : std::nullopt;
  if (oldest_time) config.snapshot_until = absl::FromUnixMicros(*oldest_time) + kSnapshotLife;
  const auto let_go = [this, topic, holder] {
    topic->Remove(holder.get());
    if (topic->deleted()) ReleaseTopic(topic);
  };
  const absl::Duration life = *config.snapshot_until - context_->clock.WallNow();
  if (life < kMinSnapshotLife) {
    let_go();
    return done(Error(
        Reason::kSnapshotTooShort,
        fmt::format(
            "snapshot: it would expire in {}, since the oldest message that it keeps is that old",
            absl::FormatDuration(life)),
        {{"field", "snapshot"},
         {"value", name.full()},
         {"limit", absl::FormatDuration(kMinSnapshotLife)}}));
  }
  const SubscriptionId id(context_->backend->catalogue().NewId());
  context_->backend->catalogue().PutSubscription(
      {id, Encode(config)}, &state,
      [this, id, name, topic, config, state, let_go,
       done = std::move(done)](const absl::Status& status) {
        if (status.ok()) {
          auto stored = std::make_shared<Subscription>(context_, id, config, topic,
                                                       context_->backend->OpenCursor(id), state);
          AddTo(topic, stored);
          MutexLock lock(mu_);
          snapshots_[name.full()] = stored;
        }
        let_go();
        status.ok() ? done(Describe(config)) : done(status);
      });
}

void Engine::UpdateSnapshot(const SnapshotName& snapshot, Labels labels, Done<Snapshot> done) {
  const auto change = [&](SubscriptionConfig* config) {
    config->labels = std::move(labels);
    return Validate(*config);
  };
  Reconfigure(Reason::kSnapshotNotFound, snapshot.full(), change, /*apply=*/nullptr,
              [done = std::move(done)](const absl::StatusOr<SubscriptionConfig>& updated) {
                updated.ok() ? done(Describe(*updated)) : done(updated.status());
              });
}

void Engine::DeleteSnapshot(const SnapshotName& name, StatusDone done) {
  Drop(Reason::kSnapshotNotFound, name.full(), std::move(done));
}

absl::StatusOr<Snapshot> Engine::FindSnapshot(const SnapshotName& name) const {
  MutexLock lock(mu_);
  auto it = snapshots_.find(name.full());
  if (it == snapshots_.end()) return NotFoundError(Reason::kSnapshotNotFound, name.full());
  return Describe(it->second->config());
}

std::vector<Snapshot> Engine::ListSnapshots(std::string_view project_path, std::string_view after,
                                            size_t limit) const {
  std::vector<Snapshot> page;
  MutexLock lock(mu_);
  const std::string prefix = project_path.empty() ? "" : fmt::format("{}/snapshots/", project_path);
  for (const auto& stored : PageOf(snapshots_, prefix, after, limit))
    page.push_back(Describe(stored->config()));
  return page;
}

void Engine::DropExpiredSnapshots() {
  const absl::Time now = context_->clock.WallNow();
  for (const Snapshot& snapshot : ListSnapshots("", "", SIZE_MAX)) {
    if (snapshot.expire_time <= now) DeleteSnapshot(snapshot.name, [](const absl::Status&) {});
  }
}

}  // namespace sluice
