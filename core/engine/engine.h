// The engine: topics and subscriptions over a store. No sockets, no flags; it can be linked into
// any program.
//
//   auto engine = Engine::Open(std::move(backend), clock, metrics, {});
//   (*engine)->CreateTopic(config, [](absl::StatusOr<TopicConfig> made) {...});
//   absl::StatusOr<std::shared_ptr<Topic>> topic = (*engine)->FindTopic(name);
//   (*topic)->Publish(batch, [](absl::StatusOr<Published> published) {...});
//
// Lifetime: the backend belongs to the engine. Shutdown() ends consumers, waits for what is being
// published, saves and closes the store; afterwards every call fails with UNAVAILABLE (DRAINING).
// Topics and subscriptions that a caller holds outlive the engine as empty shells.
//
// Thread rule: every member may be called from any thread. Callbacks come on any thread, also
// before the call returns, with no lock held; they must not block.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/base/timer_queue.h"
#include "core/engine/config.h"
#include "core/engine/context.h"
#include "core/engine/options.h"
#include "core/engine/subscription.h"
#include "core/engine/topic.h"
#include "core/metrics/metrics.h"
#include "core/storage/backend.h"

namespace sluice {

// The errors for a name that there is not, that there is already, and that another request is about
// to change.
absl::Status NotFoundError(Reason reason, const std::string& name);
absl::Status ExistsError(Reason reason, const std::string& name);
absl::Status BeingChangedError(const std::string& name);

// Calls done(offset) with the place in the topic that `start` means.
void ResolveStart(const std::shared_ptr<Topic>& topic, const StartPosition& start,
                  TopicLog::OffsetDone done);

// Nothing below `start` is to be delivered, and all that is not.
CursorState StateAt(Offset start);

// Values of a map by name with keys that begin with `prefix`, after `after`, at most `limit`.
template <class Map>
std::vector<typename Map::mapped_type> PageOf(const Map& map, const std::string& prefix,
                                              std::string_view after, size_t limit) {
  std::vector<typename Map::mapped_type> page;
  auto it = after > prefix ? map.upper_bound(std::string(after)) : map.lower_bound(prefix);
  for (; it != map.end() && page.size() < limit && it->first.compare(0, prefix.size(), prefix) == 0;
       ++it) {
    page.push_back(it->second);
  }
  return page;
}

class Engine {
 public:
  template <class T>
  using Done = std::function<void(absl::StatusOr<T>)>;
  using StatusDone = std::function<void(absl::Status)>;

  // INVALID_ARGUMENT for options; DATA_LOSS, or what the store says.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(std::unique_ptr<Backend> backend,
                                                      const Clock& clock, Metrics& metrics,
                                                      const EngineOptions& options = {});
  ~Engine();

  // ALREADY_EXISTS, INVALID_ARGUMENT, RESOURCE_EXHAUSTED (TOO_MANY_TOPICS). The create time is set
  // here.
  void CreateTopic(TopicConfig config, Done<TopicConfig> done);
  // Replaces what the topic of that name is set to, its create time excepted. NOT_FOUND,
  // INVALID_ARGUMENT.
  void UpdateTopic(TopicConfig config, Done<TopicConfig> done);
  // Its name is free. Its subscriptions and snapshots keep what they have not acknowledged, without
  // a topic's name, and with the last of them its messages go; ephemeral subscriptions end
  // (TOPIC_DELETED).
  void DeleteTopic(const TopicName& name, StatusDone done);

  // NOT_FOUND (the topic), ALREADY_EXISTS, INVALID_ARGUMENT, RESOURCE_EXHAUSTED
  // (TOO_MANY_SUBSCRIPTIONS). REQUIRES: config.topic.
  void CreateSubscription(SubscriptionConfig config, StartPosition start,
                          Done<SubscriptionConfig> done);
  // Changes everything but name, topic, filter, ordered, priority_delivery and create_time.
  void UpdateSubscription(SubscriptionConfig config, Done<SubscriptionConfig> done);
  void DeleteSubscription(const SubscriptionName& name, StatusDone done);
  // Cuts it off from its topic for good: its backlog goes, consumers end with FAILED_PRECONDITION
  // (SUBSCRIPTION_DETACHED).
  void DetachSubscription(const SubscriptionName& name, StatusDone done);

  absl::StatusOr<std::shared_ptr<Topic>> FindTopic(const TopicName& name) const;
  absl::StatusOr<std::shared_ptr<Subscription>> FindSubscription(
      const SubscriptionName& name) const;

  // Who may do what with a resource, a serialized google.iam.v1.Policy that means nothing here.
  // `change` makes the new one of the one there is, empty when nobody said so; its error is the
  // answer.
  using PolicyChange = std::function<absl::StatusOr<std::string>(const std::string& current)>;
  void ChangePolicy(const TopicName& name, const PolicyChange& change, Done<std::string> done);
  void ChangePolicy(const SubscriptionName& name, const PolicyChange& change,
                    Done<std::string> done);
  void ChangePolicy(const SnapshotName& name, const PolicyChange& change, Done<std::string> done);

  // In the order of their names, after `after` (a full name, empty for the first), at most `limit`.
  // `project_path` is "projects/P", or empty for all.
  std::vector<std::shared_ptr<Topic>> ListTopics(std::string_view project_path,
                                                 std::string_view after, size_t limit) const;
  std::vector<std::shared_ptr<Subscription>> ListSubscriptions(std::string_view project_path,
                                                               std::string_view after,
                                                               size_t limit) const;

  // A subscription without a name, kept in memory only; it ends when its consumer detaches.
  // REQUIRES: config.topic.
  void OpenEphemeral(SubscriptionConfig config, StartPosition start,
                     Done<std::shared_ptr<Subscription>> done);

  // Moves a subscription: what was published before `to` counts as acknowledged, what comes
  // after is delivered, again where need be, as far as the topic still has it, a deleted one too.
  // Leases are over; consumers stay connected. NOT_FOUND, FAILED_PRECONDITION
  // (SUBSCRIPTION_DETACHED).
  void Seek(const SubscriptionName& name, const StartPosition& to, StatusDone done);
  // As it was when the snapshot was made. INVALID_ARGUMENT (INVALID_SEEK) for one of another topic.
  void Seek(const SubscriptionName& name, const SnapshotName& snapshot, StatusDone done);

  // Keeps what the subscription has not acknowledged, and all that comes after, until the snapshot
  // expires: after 7 days, less the age of the oldest message kept. FAILED_PRECONDITION
  // (SNAPSHOT_TOO_SHORT) when that is under an hour.
  void CreateSnapshot(const SnapshotName& name, const SubscriptionName& subscription, Labels labels,
                      Done<Snapshot> done);
  // Replaces its labels.
  void UpdateSnapshot(const SnapshotName& name, Labels labels, Done<Snapshot> done);
  void DeleteSnapshot(const SnapshotName& name, StatusDone done);
  absl::StatusOr<Snapshot> FindSnapshot(const SnapshotName& name) const;
  std::vector<Snapshot> ListSnapshots(std::string_view project_path, std::string_view after,
                                      size_t limit) const;

  // Ends every consumer with UNAVAILABLE, lets publishes that were accepted finish, saves and
  // closes the store. Blocks for at most `deadline`, then says DEADLINE_EXCEEDED; called once, from
  // a plain thread.
  absl::Status Shutdown(absl::Duration deadline);

  BackendStats backend_stats() const { return context_->backend->stats(); }
  // "memory", "fsync" or "os".
  std::string_view durability() const { return context_->backend->durability(); }
  BreakerSnapshot store_breaker() const { return context_->store_breaker.snapshot(); }
  size_t topic_count() const EXCLUDES(mu_);
  size_t subscription_count() const EXCLUDES(mu_);
  TimerQueue& timers() { return context_->timers; }
  MemoryLedger& memory() { return context_->memory; }
  uint32_t incarnation() const { return context_->incarnation; }
  const Clock& clock() const { return context_->clock; }
  Metrics& metrics() { return context_->metrics; }

 private:
  Engine(std::shared_ptr<EngineContext> context, const EngineOptions& options)
      : context_(std::move(context)),
        max_topics_(options.max_topics),
        max_subscriptions_(options.max_subscriptions) {}

  absl::Status Recover() EXCLUDES(mu_);
  void TellConfigured(const std::shared_ptr<Subscription>& subscription) const {
    if (context_->on_configured) context_->on_configured(subscription);
  }
  // Consumers get UNAVAILABLE; topics and subscriptions let go of each other.
  void EndSubscriptions() const EXCLUDES(mu_);
  absl::Status CheckDeadLetter(const SubscriptionConfig& config) const EXCLUDES(mu_);
  // A topic that is deleted meanwhile tells those it knows of: who comes later has to look.
  void AddTo(const std::shared_ptr<Topic>& topic, const std::shared_ptr<Subscription>& subscription)
      EXCLUDES(mu_);
  void OnTopicDeleted(const std::shared_ptr<Topic>& topic,
                      const std::shared_ptr<Subscription>& subscription) EXCLUDES(mu_);
  // Ends a subscription or snapshot for good.
  void LeaveTopic(Subscription& subscription, const absl::Status& why) EXCLUDES(mu_);
  // Lets go of a deleted topic's messages when nobody needs them any more.
  void ReleaseTopic(const std::shared_ptr<Topic>& topic) EXCLUDES(mu_);
  // Deleted ones too.
  std::vector<std::shared_ptr<Topic>> AllTopics() const EXCLUDES(mu_);
  void EnforceRetention() EXCLUDES(mu_);
  void ScheduleRetention();
  void DropExpiredSnapshots() EXCLUDES(mu_);
  void DropIdleSubscriptions() EXCLUDES(mu_);
  using SubscriptionMap = absl::btree_map<std::string, std::shared_ptr<Subscription>>;
  // Where those are that are said to be missing with this reason: subscriptions or snapshots.
  SubscriptionMap& Stored(Reason missing) REQUIRES(mu_) {
    return missing == Reason::kSnapshotNotFound ? snapshots_ : subscriptions_;
  }
  void Drop(Reason missing, const std::string& name, StatusDone done) EXCLUDES(mu_);
  // Changes what a subscription or a snapshot is set to: change(&config), an error of which is the
  // answer; once that is stored apply(subscription), which may be null.
  using Change = std::function<absl::Status(SubscriptionConfig*)>;
  using Apply = std::function<void(Subscription&)>;
  void Reconfigure(Reason missing, const std::string& name, const Change& change, Apply apply,
                   Done<SubscriptionConfig> done) EXCLUDES(mu_);
  void ReconfigureTopic(const std::string& name,
                        const std::function<absl::Status(TopicConfig*)>& change,
                        Done<TopicConfig> done) EXCLUDES(mu_);
  void ChangeStoredPolicy(Reason missing, const std::string& name, const PolicyChange& change,
                          Done<std::string> done) EXCLUDES(mu_);
  using Resolve =
      std::function<void(const Subscription&, const std::shared_ptr<Topic>&, Done<CursorState>)>;
  // Seeks to what `resolve` says.
  void SeekTo(const SubscriptionName& name, const Resolve& resolve, StatusDone done) EXCLUDES(mu_);
  void StoreSnapshot(const SnapshotName& name, SubscriptionConfig config,
                     const std::shared_ptr<Topic>& topic,
                     const std::shared_ptr<Subscription>& source, Done<Snapshot> done)
      EXCLUDES(mu_);
  // Marks a name as being changed; false when it is already.
  bool Reserve(const std::string& name) REQUIRES(mu_) { return changing_.insert(name).second; }
  void Free(const std::string& name) EXCLUDES(mu_);
  // What ends the change of a name that was reserved: it is free again, and the caller hears what
  // came of it. The gate is held until then.
  template <class Finished>
  auto Finishing(const std::string& name, Gate::Pass pass, Finished done) {
    return [this, name, done = std::move(done),
            pass = std::make_shared<Gate::Pass>(std::move(pass))](auto result) {
      Free(name);
      done(std::move(result));
    };
  }
  // Reserves the name of what is to be made, of which there may be `most` in `map`.
  template <class Map>
  absl::Status BeginCreate(const Map& map, const std::string& name, size_t most, Reason exists,
                           Reason too_many) REQUIRES(mu_);
  // Finds what is to be changed and reserves its name.
  template <class Map>
  absl::StatusOr<typename Map::mapped_type> BeginChange(const Map& map, const std::string& name,
                                                        Reason missing) REQUIRES(mu_) {
    auto it = map.find(name);
    if (it == map.end()) return NotFoundError(missing, name);
    if (!Reserve(name)) return BeingChangedError(name);
    return it->second;
  }

  const std::shared_ptr<EngineContext> context_;
  const size_t max_topics_;
  const size_t max_subscriptions_;

  mutable Mutex mu_{LockRank::kRegistry};
  absl::btree_map<std::string, std::shared_ptr<Topic>> topics_ GUARDED_BY(mu_);
  // Those that subscriptions or snapshots still need.
  absl::btree_map<TopicId, std::shared_ptr<Topic>> deleted_topics_ GUARDED_BY(mu_);
  SubscriptionMap subscriptions_ GUARDED_BY(mu_);
  // Subscriptions that nobody reads, by the names of the snapshots.
  SubscriptionMap snapshots_ GUARDED_BY(mu_);
  // Names being created, changed or deleted.
  absl::flat_hash_set<std::string> changing_ GUARDED_BY(mu_);
};

}  // namespace sluice
