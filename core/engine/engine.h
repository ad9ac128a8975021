// The engine: topics and subscriptions over a store. No sockets, no flags; it can be linked into any program.
//
//   auto engine = Engine::Open(std::move(backend), clock, metrics, {});
//   (*engine)->CreateTopic(config, [](absl::StatusOr<TopicConfig> made) {...});
//   absl::StatusOr<std::shared_ptr<Topic>> topic = (*engine)->FindTopic(name);
//   (*topic)->Publish(batch, [](absl::StatusOr<Published> published) {...});
//
// Lifetime: the backend belongs to the engine. Shutdown() ends consumers, waits for what is being published, saves and
// closes the store; afterwards every call fails with UNAVAILABLE (DRAINING). Topics and subscriptions that a caller
// holds outlive the engine as empty shells.
//
// Thread rule: every member may be called from any thread. Callbacks come on any thread, also before the call returns,
// with no lock held; they must not block.
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
#include "core/engine/subscription.h"
#include "core/engine/topic.h"
#include "core/metrics/metrics.h"
#include "core/storage/backend.h"

namespace sluice {

struct EngineOptions {
  // Memory for recent batches, shared by all topics.
  size_t tail_cache_bytes = size_t{64} << 20;
  // False where a test runs timers() by hand.
  bool run_timers = true;
};

class Engine {
 public:
  template <class T>
  using Done = std::function<void(absl::StatusOr<T>)>;
  using StatusDone = std::function<void(absl::Status)>;

  static absl::StatusOr<std::unique_ptr<Engine>> Open(std::unique_ptr<Backend> backend,
                                                      const Clock& clock, Metrics& metrics,
                                                      EngineOptions options = {});
  ~Engine();

  // ALREADY_EXISTS, INVALID_ARGUMENT. The create time is set here.
  void CreateTopic(TopicConfig config, Done<TopicConfig> done);
  // Replaces what the topic of that name is set to, its create time excepted. NOT_FOUND, INVALID_ARGUMENT.
  void UpdateTopic(TopicConfig config, Done<TopicConfig> done);
  // Its messages go; its subscriptions stay without a topic.
  void DeleteTopic(const TopicName& name, StatusDone done);

  // NOT_FOUND (the topic), ALREADY_EXISTS, INVALID_ARGUMENT. REQUIRES: config.topic.
  void CreateSubscription(SubscriptionConfig config, StartPosition start, Done<SubscriptionConfig> done);
  // Changes ack_deadline, labels, retry and dead_letter.
  void UpdateSubscription(SubscriptionConfig config, Done<SubscriptionConfig> done);
  void DeleteSubscription(const SubscriptionName& name, StatusDone done);

  absl::StatusOr<std::shared_ptr<Topic>> FindTopic(const TopicName& name) const;
  absl::StatusOr<std::shared_ptr<Subscription>> FindSubscription(const SubscriptionName& name) const;

  // In the order of their names, after `after` (a full name, empty for the first), at most `limit`.
  // `project_path` is "projects/P", or empty for all.
  std::vector<std::shared_ptr<Topic>> ListTopics(std::string_view project_path, std::string_view after,
                                                 size_t limit) const;
  std::vector<std::shared_ptr<Subscription>> ListSubscriptions(std::string_view project_path,
                                                               std::string_view after, size_t limit) const;

  // A subscription without a name, kept in memory only; it ends when its consumer detaches. REQUIRES: config.topic.
  void OpenEphemeral(SubscriptionConfig config, StartPosition start, Done<std::shared_ptr<Subscription>> done);

  // Ends every consumer with UNAVAILABLE, lets publishes that were accepted finish, saves and closes the store. Blocks
  // for at most `deadline`, then says DEADLINE_EXCEEDED; called once, from a plain thread.
  absl::Status Shutdown(absl::Duration deadline);

  BackendStats backend_stats() const { return context_->backend->stats(); }
  // "memory", "fsync" or "os".
  std::string_view durability() const { return context_->backend->durability(); }
  size_t topic_count() const EXCLUDES(mu_);
  size_t subscription_count() const EXCLUDES(mu_);
  TimerQueue& timers() { return context_->timers; }
  Metrics& metrics() { return context_->metrics; }

 private:
  explicit Engine(std::shared_ptr<EngineContext> context) : context_(std::move(context)) {}

  absl::Status Recover() EXCLUDES(mu_);
  // Consumers get UNAVAILABLE; topics and subscriptions let go of each other.
  void EndSubscriptions() const EXCLUDES(mu_);
  absl::Status CheckDeadLetter(const SubscriptionConfig& config) const EXCLUDES(mu_);
  void ScheduleRetention();
  // Marks a name as being changed; false when it is already.
  bool Reserve(const std::string& name) REQUIRES(mu_) { return changing_.insert(name).second; }
  void Free(const std::string& name) EXCLUDES(mu_);
  // Finds what is to be changed and reserves its name.
  template <class Map>
  absl::StatusOr<typename Map::mapped_type> BeginChange(const Map& map, const std::string& name, Reason missing)
      REQUIRES(mu_);

  const std::shared_ptr<EngineContext> context_;

  mutable Mutex mu_{LockRank::kRegistry};
  absl::btree_map<std::string, std::shared_ptr<Topic>> topics_ GUARDED_BY(mu_);
  absl::btree_map<std::string, std::shared_ptr<Subscription>> subscriptions_ GUARDED_BY(mu_);
  // Names being created, changed or deleted.
  absl::flat_hash_set<std::string> changing_ GUARDED_BY(mu_);
};

}  // namespace sluice
