// Engine and model side by side: every operation is told to both, the model first, and whatever the
// engine does in answer is held against the model. After each operation engine, store and timers
// come to rest and everything that can be compared is.
//
//   World world({.local = false, .verbose = true});
//   world.CreateTopic("orders");
//   world.CreateSubscription(config, FilterCases()[1]);
//   const size_t client = world.Attach(0);
//   world.Grant(client, 10, Subscription::kNoByteLimit);
//   world.Publish(0, {message});
//   ...
//   for (const auto& finding : world.findings().all()) ...
//
// The clock stands still but for Advance and JumpWall. The store answers when it is told to
// (Commit), or at once (SetPrompt).
//
// Thread rule: for one thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/engine/engine.h"
#include "fmt/format.h"
#include "tests/model/staged_store.h"
#include "tests/model/store_place.h"
#include "tests/model/subscription_model.h"

namespace sluice::model {

struct WorldOptions {
  bool local = false;
  bool verbose = false;
  // Of the engine, for recent batches; a small one has it read from the store.
  size_t tail_cache_bytes = size_t{64} << 20;
};

class World {
 public:
  explicit World(WorldOptions options);
  ~World();

  // The name is set here.
  void CreateTopic(std::string_view id, TopicConfig config);
  // REQUIRES: the topic is empty, or the subscription begins at its end.
  void CreateSubscription(SubscriptionConfig config, const FilterCase& filter,
                          StartPosition start = Earliest{});

  // Returns the client's number.
  size_t Attach(size_t subscription, bool outlived = false);
  // Returns the client that settles leases whoever holds them; it is never attached.
  size_t Anyone(size_t subscription);
  void Grant(size_t client, int64_t messages, int64_t bytes);
  // A numbered batch is remembered, and may be sent again.
  void Publish(size_t topic, std::vector<Message> messages, bool numbered);
  // The numbered batch with this number, from 1 on. REQUIRES: number <= numbered().
  void PublishAgain(uint64_t number);
  void Ack(size_t client, const std::vector<LeaseRange>& ranges);
  void AckConfirmed(size_t client, const std::vector<LeaseRange>& ranges);
  void Nack(size_t client, LeaseRange range, absl::Duration delay);
  void Extend(size_t client, LeaseRange range, absl::Duration deadline);
  void Detach(size_t client, bool lost);
  void Seek(size_t subscription, const StartPosition& to);

  // All timers on the way run in their time; or, in one jump, together at the end.
  void Advance(absl::Duration d, bool jump);
  void JumpWall(absl::Duration d);

  void SetPrompt(bool prompt);
  void Commit(size_t most);
  void SetFull(bool full);
  void Maintain();
  // What the store was not yet told to do never happened; a new engine is opened.
  void Crash();
  // An orderly shutdown and a new engine.
  void Restart();

  // Acknowledges everything until nothing is left, and sees that it is so.
  void Drain();

  const Findings& findings() const { return findings_; }
  // What the engines of this world counted, and what the model did; of those that are closed, as
  // all are after Drain.
  const Truth& counted() const { return counted_; }
  const Truth& truth() const { return total_; }

  size_t topics() const { return topics_.size(); }
  uint64_t numbered() const { return numbered_.size(); }
  // One past the last message stored.
  Offset EndOf(size_t topic) const { return Offset(topics_[topic].log.size() + 1); }
  absl::Time wall() const { return clock_.WallNow(); }
  size_t subscriptions() const { return subscriptions_.size(); }
  // Those that are attached.
  std::vector<size_t> clients() const;
  size_t subscription_of(size_t client) const { return clients_[client].subscription; }
  // Live leases of a client; the highest lease of its subscription.
  std::vector<LeaseId> LeasesOf(size_t client) const;
  LeaseId LastLease(size_t client) const;
  size_t staged() const { return stage_->size(); }

 private:
  class Probe;
  struct StoredMessage {
    std::string bytes;
    Message message;
    int64_t publish_us = 0;
  };
  struct TopicState {
    TopicName name;
    TopicConfig config;
    TopicId id;
    // As the store has it, by offset; nothing is ever taken out.
    std::map<uint64_t, StoredMessage> log;
    // The data of what was published.
    std::set<std::string> published;
  };
  struct NumberedBatch {
    size_t topic = 0;
    std::vector<Message> messages;
  };
  struct SubscriptionState {
    size_t topic = 0;
    SubscriptionId id;
    std::unique_ptr<SubscriptionModel> model;
    // Where it was told to seek to and has not said that it did. One seek at a time.
    std::optional<StartPosition> seek;
  };
  struct Client {
    size_t subscription = 0;
    ConsumerId id;
    bool attached = false;
  };

  template <class... Args>
  void Say(fmt::format_string<Args...> format, Args&&... args) const {
    if (options_.verbose) fmt::print("    {}\n", fmt::format(format, std::forward<Args>(args)...));
  }
  void Open(bool clean = true);
  void Close(bool crash);
  // Against what the store holds now that it was opened again.
  void CheckStore(Backend& backend, bool clean);
  // What the engine leased again from before it was opened.
  void AdoptLeases();
  void CheckLog(Backend& backend, const TopicState& topic);
  void CheckKept(const TopicState& topic, Offset first);
  void CheckFreed(const TopicState& topic, Offset first);
  // Lets everything that is due happen, then checks.
  void Settle();
  void Check();
  void CheckCounts(const SubscriptionState& subscription);
  void CheckMetrics();
  void CheckDrained(const SubscriptionState& subscription);
  void Expect(uint64_t expected, uint64_t found, Invariant invariant, std::string_view what);

  StoreHooks Hooks();
  void OnStored(TopicId id, const Ref<Batch>& batch);
  void OnSeek(SubscriptionState& subscription, const CursorState& state);
  static int64_t ExpireTime(const TopicState& topic, const StoredMessage& stored);
  Offset PlaceOf(const TopicState& topic, const StartPosition& position) const;
  void OnBuriedCopy(const Message& copy);
  void Send(size_t topic, const std::vector<Message>& messages, uint64_t number);
  void OnPublished(size_t topic, const std::vector<Message>& messages,
                   const absl::StatusOr<Published>& published);
  void OnDelivered(size_t client, const std::vector<Delivery>& deliveries);

  Instant now() const { return clock_.Now(); }
  Moment moment() const { return {clock_.Now(), absl::ToUnixMicros(clock_.WallNow())}; }
  SubscriptionState& WithId(SubscriptionId id);
  SubscriptionModel& ModelOf(size_t client) {
    return *subscriptions_[clients_[client].subscription].model;
  }
  std::shared_ptr<Subscription> EngineOf(const SubscriptionState& subscription) const;
  std::shared_ptr<Subscription> EngineOf(size_t client) const {
    return EngineOf(subscriptions_[clients_[client].subscription]);
  }

  const WorldOptions options_;
  Findings findings_;
  Truth truth_;
  Truth total_;
  Truth counted_;

  ManualClock clock_;
  const std::unique_ptr<StorePlace> place_;
  std::shared_ptr<Stage> stage_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Engine> engine_;
  // The engine is going down: what it still does concerns nobody.
  bool dying_ = false;
  bool prompt_ = true;
  // When the store had last had something to do, or the engine was opened.
  Instant rested_;
  // The highest that the wall clock ever was.
  int64_t latest_wall_us_ = 0;

  std::vector<TopicState> topics_;
  std::vector<SubscriptionState> subscriptions_;
  std::vector<Client> clients_;
  std::vector<NumberedBatch> numbered_;
};

}  // namespace sluice::model
