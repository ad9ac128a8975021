#include "tests/model/world.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"

namespace sluice::model {
namespace {

Truth CountedBy(const Metrics& metrics) {
  const EngineMetrics& engine = metrics.engine;
  Truth counted;
  counted.published = engine.published_messages.value();
  counted.delivered = engine.delivered_messages.value();
  counted.redelivered = engine.redelivered_messages.value();
  counted.acked = engine.acked_messages.value();
  counted.nacked = engine.nacked_messages.value();
  counted.expired = engine.expired_leases.value();
  counted.dead_lettered = engine.dead_lettered_messages.value();
  return counted;
}

std::unique_ptr<StorePlace> PlaceFor(const WorldOptions& options, const Clock& clock) {
  if (options.local) return std::make_unique<LocalPlace>(clock);
  return std::make_unique<MemoryPlace>();
}

std::string TimeOfDay(int64_t us) {
  return absl::FormatTime("%H:%M:%E3S", absl::FromUnixMicros(us), absl::UTCTimeZone());
}

std::string Names(const std::vector<Message>& messages) {
  std::string names;
  for (const Message& message : messages) {
    names += fmt::format(" {}", message.data.substr(0, message.data.find('.')));
    if (!message.key.empty()) names += fmt::format("/{}", message.key);
    for (const auto& [key, value] : message.attributes) names += fmt::format(" {}={}", key, value);
    if (message.deliver_at_us != kDeliverAtOnce) names += " at " + TimeOfDay(message.deliver_at_us);
    if (message.expire_at_us != kNeverExpires) names += " until " + TimeOfDay(message.expire_at_us);
    if (message.priority > 0) names += fmt::format(" p{}", message.priority);
  }
  return names;
}

}  // namespace

// A client's end of a subscription.
class World::Probe final : public Consumer {
 public:
  Probe(World& world, size_t client) : world_(world), client_(client) {}

  void Deliver(std::vector<Delivery>& deliveries) override {
    world_.OnDelivered(client_, deliveries);
  }
  void Ended(absl::Status why) override {
    if (!world_.dying_)
      world_.findings_.Add(Invariant::kProgress, fmt::format("a stream ended: {}", why.ToString()));
  }

 private:
  World& world_;
  const size_t client_;
};

World::World(WorldOptions options) : options_(options), place_(PlaceFor(options, clock_)) {
  Open();
}

World::~World() {
  dying_ = true;
  stage_->Crash();
  engine_ = nullptr;
}

void World::Open(bool clean) {
  auto backend = place_->Open();
  if (!backend.ok()) {
    fmt::print("the store does not open: {}\n", backend.status().ToString());
    std::abort();
  }
  CheckStore(**backend, clean);
  auto store = std::make_unique<StagedStore>(*std::move(backend), Hooks());
  stage_ = store->stage();
  metrics_ = std::make_unique<Metrics>();
  truth_ = {};
  dying_ = false;
  rested_ = now();
  EngineOptions options{.tail_cache_bytes = options_.tail_cache_bytes, .run_timers = false};
  // This store takes its time on purpose.
  options.store_breaker.failure_ratio = 0;
  options.store_breaker.consecutive_failures = 0;
  options.store_breaker.slow_ratio = 0;
  options.store_breaker.stalled_call = absl::ZeroDuration();
  auto engine = Engine::Open(std::move(store), clock_, *metrics_, options);
  if (!engine.ok()) {
    fmt::print("the engine does not open: {}\n", engine.status().ToString());
    std::abort();
  }
  engine_ = *std::move(engine);
  AdoptLeases();
}

StoreHooks World::Hooks() {
  StoreHooks hooks;
  hooks.stored = [this](TopicId id, const Ref<Batch>& batch) { OnStored(id, batch); };
  hooks.bury_staged = [this](SubscriptionId id, OffsetRange offsets) {
    if (!dying_) WithId(id).model->BuryStaged(offsets);
  };
  hooks.bury_refused = [this](SubscriptionId id, OffsetRange offsets) {
    Say("dead letters {} to {} are refused", offsets.begin.value(), offsets.end.value() - 1);
    WithId(id).model->BuryRefused(offsets, now());
  };
  hooks.leased = [this](SubscriptionId id, const SavedLease& lease) {
    if (!dying_) WithId(id).model->LeaseStaged(lease, moment());
  };
  hooks.seek_staged = [this](SubscriptionId id, const CursorState& state) {
    if (!dying_) OnSeek(WithId(id), state);
  };
  hooks.seek_done = [this](SubscriptionId id) { WithId(id).model->SeekDone(); };
  return hooks;
}

World::SubscriptionState& World::WithId(SubscriptionId id) {
  return *std::find_if(subscriptions_.begin(), subscriptions_.end(),
                       [id](const auto& s) { return s.id == id; });
}

void World::Close(bool crash) {
  total_ += truth_;
  counted_ += CountedBy(*metrics_);
  dying_ = true;
  if (crash) {
    place_->Stop();
    stage_->Crash();
  }
  engine_->Shutdown(absl::Seconds(10)).IgnoreError();
  engine_ = nullptr;
  for (Client& client : clients_) client.attached = false;
  for (SubscriptionState& subscription : subscriptions_) subscription.seek.reset();
}

void World::CreateTopic(std::string_view id, TopicConfig config) {
  config.name = *TopicName::Parse(fmt::format("projects/test/topics/{}", id));
  config.retention = kMaxRetention;
  absl::Status status = absl::UnknownError("no answer");
  engine_->CreateTopic(config, [&](const auto& made) { status = made.status(); });
  if (!status.ok()) return findings_.Add(Invariant::kProgress, status.ToString());
  topics_.push_back({config.name, config, (*engine_->FindTopic(config.name))->id(), {}, {}});
}

void World::CreateSubscription(SubscriptionConfig config, const FilterCase& filter,
                               StartPosition start) {
  config.filter = filter.text;
  Say("{}:{}{}{} deadline {}, retry {} to {}, {} attempts{}, filter {}", config.name.id(),
      config.ordered ? " ordered" : "", config.priority_delivery ? " by priority" : "",
      config.exactly_once ? " exactly once" : "", absl::FormatDuration(config.ack_deadline),
      config.retry ? absl::FormatDuration(config.retry->minimum) : "-",
      config.retry ? absl::FormatDuration(config.retry->maximum) : "-",
      config.dead_letter ? config.dead_letter->max_attempts : 0,
      config.dead_letter && config.dead_letter->expired_too ? " or expiry" : "", filter.text);
  absl::Status status = absl::UnknownError("no answer");
  engine_->CreateSubscription(config, start, [&](const auto& made) { status = made.status(); });
  if (!status.ok()) return findings_.Add(Invariant::kProgress, status.ToString());
  SubscriptionState subscription;
  while (topics_[subscription.topic].name != *config.topic) ++subscription.topic;
  subscription.id = (*engine_->FindSubscription(config.name))->id();
  subscription.model =
      std::make_unique<SubscriptionModel>(config, filter.matches, &truth_, &findings_);
  const TopicState& topic = topics_[subscription.topic];
  for (const auto& [offset, stored] : topic.log) {
    subscription.model->StoredBefore(offset, stored.message, ExpireTime(topic, stored), moment());
  }
  subscriptions_.push_back(std::move(subscription));
}

std::shared_ptr<Subscription> World::EngineOf(const SubscriptionState& subscription) const {
  return *engine_->FindSubscription(subscription.model->config().name);
}

size_t World::Attach(size_t subscription, bool outlived) {
  const size_t client = clients_.size();
  clients_.push_back({subscription, {}, true});
  AttachOptions options;
  options.leases_outlive_it = outlived;
  clients_[client].id = *EngineOf(client)->Attach(std::make_shared<Probe>(*this, client), options);
  ModelOf(client).Attach(clients_[client].id, outlived);
  Say("client {} of {}{}", client, ModelOf(client).config().name.id(),
      outlived ? ", outlived by its leases" : "");
  Settle();
  return client;
}

size_t World::Anyone(size_t subscription) {
  for (size_t client = 0; client < clients_.size(); ++client) {
    if (clients_[client].subscription == subscription && clients_[client].id == kAnyone)
      return client;
  }
  clients_.push_back({subscription, kAnyone, false});
  return clients_.size() - 1;
}

void World::Grant(size_t client, int64_t messages, int64_t bytes) {
  Say("client {} grants {} messages, {} bytes", client, messages, bytes);
  ModelOf(client).Grant(clients_[client].id, messages, bytes);
  EngineOf(client)->Grant(clients_[client].id, messages, bytes);
  Settle();
}

void World::Publish(size_t topic, std::vector<Message> messages, bool numbered) {
  Say("publish to {}{}:{}", topics_[topic].name.id(),
      numbered ? fmt::format(" as {}", numbered_.size() + 1) : "", Names(messages));
  if (numbered) numbered_.push_back({topic, messages});
  Send(topic, messages, numbered ? numbered_.size() : 0);
}

void World::PublishAgain(uint64_t number) {
  Say("publish {} again", number);
  const NumberedBatch batch = numbered_[number - 1];
  Send(batch.topic, batch.messages, number);
}

void World::Send(size_t topic, const std::vector<Message>& messages, uint64_t number) {
  BatchBuilder builder;
  for (const Message& message : messages) {
    if (absl::Status status = builder.Add(Outgoing(message)); !status.ok()) {
      return findings_.Add(Invariant::kContent, status.ToString());
    }
  }
  const Ref<Batch> batch = *builder.Build();
  if (number > 0) batch->set_producer({.id = "producer", .epoch = 1, .sequence = number});
  (*engine_->FindTopic(topics_[topic].name))
      ->Publish(batch, [this, topic, messages](const auto& published) {
        OnPublished(topic, messages, published);
      });
  Settle();
}

void World::Expect(uint64_t expected, uint64_t found, Invariant invariant, std::string_view what) {
  if (expected != found)
    findings_.Add(invariant, fmt::format("{}: {}, should be {}", what, found, expected));
}

void World::Ack(size_t client, const std::vector<LeaseRange>& ranges) {
  uint64_t expected = 0;
  for (const LeaseRange& range : ranges) {
    Say("client {} acks {} to {}", client, range.first.value(), range.last.value());
    expected += ModelOf(client).Ack(clients_[client].id, range);
  }
  Expect(expected, EngineOf(client)->Ack(clients_[client].id, ranges), Invariant::kFenced,
         "leases acknowledged");
  Settle();
}

void World::AckConfirmed(size_t client, const std::vector<LeaseRange>& ranges) {
  AckResult expected;
  std::vector<uint64_t> offsets;
  for (const LeaseRange& range : ranges) {
    Say("client {} acks {} to {}, to be confirmed", client, range.first.value(),
        range.last.value());
    ModelOf(client).AckConfirmed(clients_[client].id, range, &expected, &offsets);
  }
  EngineOf(client)->AckConfirmed(
      clients_[client].id, ranges, [this, client, expected, offsets](AckOutcome outcome) {
        if (dying_) return;
        const auto ids = [](const std::vector<LeaseRange>& of) {
          std::set<LeaseId> all;
          for (const LeaseRange& range : of) {
            for (LeaseId id = range.first; id <= range.last; ++id) all.insert(id);
          }
          return all;
        };
        if (!outcome.status.ok()) findings_.Add(Invariant::kProgress, outcome.status.ToString());
        if (AckResult{ids(outcome.confirmed), ids(outcome.refused), ids(outcome.too_early)} !=
            expected) {
          findings_.Add(
              Invariant::kFenced,
              fmt::format("{} leases confirmed, {} refused, {} too early; should be {}, {}, {}",
                          ids(outcome.confirmed).size(), ids(outcome.refused).size(),
                          ids(outcome.too_early).size(), expected.confirmed.size(),
                          expected.refused.size(), expected.too_early.size()));
        }
        Say("client {} has {} acks confirmed", client, offsets.size());
        ModelOf(client).Confirmed(offsets);
      });
  Settle();
}

void World::Nack(size_t client, LeaseRange range, absl::Duration delay) {
  Say("client {} nacks {} to {}, delay {}", client, range.first.value(), range.last.value(),
      absl::FormatDuration(delay));
  const Bounds expected = ModelOf(client).Nack(clients_[client].id, range, delay, now());
  const uint64_t nacked = EngineOf(client)->Nack(clients_[client].id, range, delay);
  truth_.nacked += nacked;
  Expect(std::clamp(nacked, expected.least, expected.most), nacked, Invariant::kFenced,
         "leases nacked");
  Settle();
}

void World::Extend(size_t client, LeaseRange range, absl::Duration deadline) {
  Say("client {} extends {} to {} by {}", client, range.first.value(), range.last.value(),
      absl::FormatDuration(deadline));
  const uint64_t expected = ModelOf(client).Extend(clients_[client].id, range, deadline, now());
  Expect(expected, EngineOf(client)->Extend(clients_[client].id, range, deadline),
         Invariant::kFenced, "leases extended");
  Settle();
}

void World::Detach(size_t client, bool lost) {
  Say("client {} {}", client, lost ? "is lost" : "ends");
  ModelOf(client).Detach(clients_[client].id, lost, now());
  clients_[client].attached = false;
  EngineOf(client)->Detach(clients_[client].id, /*keeps_leases=*/lost);
  if (lost) EngineOf(client)->EndLeases(clients_[client].id, ReleaseCause::kConsumerGone);
  Settle();
}

void World::Seek(size_t subscription, const StartPosition& to) {
  SubscriptionState& state = subscriptions_[subscription];
  Say("{} seeks to {}", state.model->config().name.id(), PlaceOf(topics_[state.topic], to).value());
  const bool busy = state.seek.has_value();
  if (!busy) state.seek = to;
  engine_->Seek(state.model->config().name, to, [this, &state, busy](const absl::Status& status) {
    if (dying_) return;
    Say("the seek is {}", status.ok() ? "done" : "refused");
    Expect(busy ? 0 : 1, status.ok() ? 1 : 0, Invariant::kProgress, "seeks done");
    if (status.ok()) state.seek.reset();
  });
  Settle();
}

void World::Advance(absl::Duration d, bool jump) {
  Say("{} {}, it is {} then", absl::FormatDuration(d), jump ? "are gone at once" : "go by",
      TimeOfDay(absl::ToUnixMicros(clock_.WallNow() + d)));
  const Instant target = now() + d;
  while (!jump && findings_.empty() && engine_->timers().NextDue() <= target) {
    clock_.Advance(std::max(engine_->timers().NextDue() - now(), absl::ZeroDuration()));
    Settle();
  }
  clock_.Advance(target - now());
  // What had to be done meanwhile begins now.
  if (jump) rested_ = now();
  Settle();
}

void World::JumpWall(absl::Duration d) {
  Say("the wall clock jumps by {} to {}", absl::FormatDuration(d),
      TimeOfDay(absl::ToUnixMicros(clock_.WallNow() + d)));
  clock_.JumpWall(d);
  Settle();
}

void World::SetPrompt(bool prompt) {
  Say("the store answers {}", prompt ? "at once" : "when it is told to");
  prompt_ = prompt;
  Settle();
}

void World::Commit(size_t most) {
  Say("the store does {} of {} steps", std::min(most, stage_->size()), stage_->size());
  stage_->Commit(most);
  Settle();
}

void World::SetFull(bool full) {
  Say("the store is {}", full ? "full" : "not full");
  stage_->SetFull(full);
  Settle();
}

void World::Maintain() {
  Say("the store looks after itself");
  place_->Maintain();
  Settle();
}

void World::Crash() {
  Say("crash, {} steps of the store are lost", stage_->size());
  Close(true);
  Open(/*clean=*/false);
  Settle();
}

void World::Restart() {
  Say("restart");
  while (stage_->size() > 0) Commit(SIZE_MAX);
  Close(false);
  Open();
  Settle();
}

std::vector<size_t> World::clients() const {
  std::vector<size_t> attached;
  for (size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i].attached) attached.push_back(i);
  }
  return attached;
}

std::vector<LeaseId> World::LeasesOf(size_t client) const {
  const Client& of = clients_[client];
  return subscriptions_[of.subscription].model->LeasesOf(of.id);
}

LeaseId World::LastLease(size_t client) const {
  return subscriptions_[clients_[client].subscription].model->last_lease();
}

void World::OnStored(TopicId id, const Ref<Batch>& batch) {
  TopicState& topic =
      *std::find_if(topics_.begin(), topics_.end(), [id](const auto& t) { return t.id == id; });
  Say("stored in {}: {} to {}", topic.name.id(), batch->first().value(), batch->end().value() - 1);
  truth_.published += batch->count();
  for (uint32_t i = 0; i < batch->count(); ++i) {
    const uint64_t offset = batch->first().value() + i;
    StoredMessage& stored = topic.log[offset];
    stored = {std::string(batch->message(i)), Parse(batch->message(i)), batch->publish_time_us()};
    if (stored.message.attributes.contains(std::string(dead_letter_attribute::kTopic))) {
      OnBuriedCopy(stored.message);
    } else if (!topic.published.insert(stored.message.data).second) {
      findings_.Add(Invariant::kStoredOnce, fmt::format("{} is stored twice", stored.message.data));
    }
    const int64_t expire_us = ExpireTime(topic, stored);
    for (const SubscriptionState& subscription : subscriptions_) {
      if (topics_[subscription.topic].id == id)
        subscription.model->Stored(offset, stored.message, expire_us, moment());
    }
  }
}

int64_t World::ExpireTime(const TopicState& topic, const StoredMessage& stored) {
  const absl::Duration ttl = topic.config.message_ttl;
  if (ttl == absl::ZeroDuration()) return stored.message.expire_at_us;
  return std::min(stored.message.expire_at_us, stored.publish_us + absl::ToInt64Microseconds(ttl));
}

void World::OnBuriedCopy(const Message& copy) {
  const std::string source = AttributeOf(copy, std::string(dead_letter_attribute::kSubscription));
  uint64_t offset = 0;
  if (!absl::SimpleAtoi(AttributeOf(copy, std::string(dead_letter_attribute::kMessageId)),
                        &offset)) {
    return findings_.Add(Invariant::kBuriedOnce, "a copy that does not say of what");
  }
  Say("dead letter {} of {}", offset, source);
  for (const SubscriptionState& subscription : subscriptions_) {
    if (subscription.model->config().name.id() == source)
      return subscription.model->Buried(offset, copy);
  }
  findings_.Add(Invariant::kBuriedOnce, fmt::format("a copy of a message of {}", source));
}

Offset World::PlaceOf(const TopicState& topic, const StartPosition& position) const {
  const Offset first = (*engine_->FindTopic(topic.name))->log().extent().first;
  const Offset end(topic.log.size() + 1);
  if (std::holds_alternative<Latest>(position)) return end;
  if (std::holds_alternative<Earliest>(position)) return first;
  if (const auto* offset = std::get_if<Offset>(&position)) return std::clamp(*offset, first, end);
  const int64_t time_us = absl::ToUnixMicros(std::get<absl::Time>(position));
  for (const auto& [offset, stored] : topic.log) {
    if (Offset(offset) >= first && stored.publish_us >= time_us) return Offset(offset);
  }
  return end;
}

void World::OnSeek(SubscriptionState& subscription, const CursorState& state) {
  Say("{} begins anew at {}", subscription.model->config().name.id(), state.acked.floor().value());
  Expect(PlaceOf(topics_[subscription.topic], *subscription.seek).value(),
         state.acked.floor().value(), Invariant::kContent, "where the seek leads");
  subscription.model->Sought(state, moment());
}

void World::OnPublished(size_t topic, const std::vector<Message>& messages,
                        const absl::StatusOr<Published>& published) {
  if (dying_) return;
  if (!published.ok())
    return Say("{} is refused: {}", messages[0].data, published.status().ToString());
  Say("{} is confirmed at {}", messages[0].data, published->first.value());
  const auto& log = topics_[topic].log;
  for (size_t i = 0; i < messages.size(); ++i) {
    auto stored = log.find(published->first.value() + i);
    if (stored == log.end() || stored->second.message != messages[i]) {
      findings_.Add(Invariant::kNothingLost,
                    fmt::format("{} was confirmed at {}, where the store does not have it",
                                messages[i].data, published->first.value() + i));
    }
  }
}

void World::OnDelivered(size_t client, const std::vector<Delivery>& deliveries) {
  if (dying_) return;
  const SubscriptionState& subscription = subscriptions_[clients_[client].subscription];
  const auto& log = topics_[subscription.topic].log;
  for (const Delivery& delivery : deliveries) {
    for (uint32_t i = delivery.begin; i < delivery.end; ++i) {
      const std::string_view bytes = delivery.batch->message(i);
      const DeliveredMessage delivered{delivery.batch->first().value() + i,
                                       delivery.first_lease + (i - delivery.begin),
                                       delivery.attempt, bytes.size()};
      Say("client {} gets {} of {}, attempt {}, lease {}", client, delivered.offset,
          subscription.model->config().name.id(), delivered.attempt, delivered.lease.value());
      auto stored = log.find(delivered.offset);
      if (stored == log.end() || stored->second.bytes != bytes) {
        findings_.Add(Invariant::kContent,
                      fmt::format("message {} is not as stored", delivered.offset));
      }
      subscription.model->Delivered(clients_[client].id, delivered, moment());
    }
  }
}

}  // namespace sluice::model
