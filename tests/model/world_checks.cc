// How a world comes to rest, and what is compared then.
#include <algorithm>

#include "tests/model/world.h"
#include "tests/support/answer.h"

namespace sluice::model {
namespace {

// More turns than this, and the engine will not come to rest.
constexpr int kMostTurns = 10'000;
// Shorter than any lease, so that what was taken is acknowledged; together longer than any delay.
constexpr absl::Duration kDrainRound = absl::Seconds(5);
constexpr int kMostDrainRounds = 200;
constexpr int64_t kPlenty = 1'000'000;

}  // namespace

void World::Settle() {
  for (int turns = 0;; ++turns) {
    for (const SubscriptionState& subscription : subscriptions_) subscription.model->Tick(now());
    const bool ran = engine_->timers().RunDue() > 0;
    const bool committed = prompt_ && stage_->Commit(SIZE_MAX) > 0;
    if (!ran && !committed) break;
    if (turns == kMostTurns) return findings_.Add(Invariant::kProgress, "the engine does not come to rest");
  }
  Check();
}

void World::Check() {
  const bool idle = stage_->size() == 0;
  for (const SubscriptionState& subscription : subscriptions_) {
    subscription.model->CheckProgress(now(), idle);
    CheckCounts(subscription);
    if (idle) subscription.model->Saved();
  }
  CheckMetrics();
}

void World::CheckCounts(const SubscriptionState& subscription) {
  const SubscriptionStats stats = EngineOf(subscription)->stats();
  const SubscriptionModel& model = *subscription.model;
  const std::string name(model.config().name.id());
  Expect(model.leased(), static_cast<uint64_t>(stats.leased_messages), Invariant::kCounts, "leases of " + name);
  // What the filter leaves out is passed over when its turn comes.
  const auto backlog = static_cast<uint64_t>(stats.backlog_messages);
  if (backlog < model.unsettled() || backlog > model.unsettled() + model.filtered()) {
    Expect(model.unsettled(), backlog, Invariant::kCounts, "backlog of " + name);
  }
}

void World::CheckMetrics() {
  const EngineMetrics& counted = metrics_->engine;
  const auto expect = [this](uint64_t truth, const Counter& counter, std::string_view what) {
    Expect(truth, counter.value(), Invariant::kCounts, what);
  };
  expect(truth_.published, counted.published_messages, "published messages");
  expect(truth_.delivered, counted.delivered_messages, "delivered messages");
  expect(truth_.redelivered, counted.redelivered_messages, "redelivered messages");
  expect(truth_.acked, counted.acked_messages, "acknowledged messages");
  expect(truth_.nacked, counted.nacked_messages, "nacked messages");
  expect(truth_.expired, counted.expired_leases, "expired leases");
  expect(truth_.dead_lettered, counted.dead_lettered_messages, "dead-lettered messages");
}

void World::CheckStore(Backend& backend) {
  for (const SubscriptionState& subscription : subscriptions_) {
    subscription.model->Recovered(backend.OpenCursor(subscription.id)->state(), now());
  }
  for (const TopicState& topic : topics_) CheckLog(backend, topic);
}

void World::CheckLog(Backend& backend, const TopicState& topic) {
  const std::shared_ptr<TopicLog> log = backend.OpenLog(topic.id);
  const LogExtent extent = log->extent();
  Expect(topic.log.size() + 1, extent.next.value(), Invariant::kNothingLost, fmt::format("end of the log of {}", topic.name.id()));
  for (const SubscriptionState& subscription : subscriptions_) {
    if (topics_[subscription.topic].id == topic.id && subscription.model->FirstUnsettled() < extent.first.value()) {
      findings_.Add(Invariant::kNothingLost,
                    fmt::format("{} was trimmed to {}, and {} needs message {}", topic.name.id(), extent.first.value(),
                                subscription.model->config().name.id(), subscription.model->FirstUnsettled()));
    }
  }
  for (Offset at = extent.first; at < extent.next;) {
    Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
    log->Read(at, kPlenty, answer.callback());
    const auto read = answer.Wait();
    if (!read.ok() || read->empty() || read->front()->first() > at) {
      return findings_.Add(Invariant::kNothingLost, fmt::format("message {} cannot be read", at.value()));
    }
    for (const Ref<Batch>& batch : *read) {
      for (; at < batch->end(); at += 1) {
        if (batch->message(static_cast<uint32_t>(at - batch->first())) != topic.log.at(at.value()).bytes) {
          findings_.Add(Invariant::kNothingLost, fmt::format("message {} is not as stored", at.value()));
        }
      }
    }
  }
}

void World::Drain() {
  SetFull(false);
  SetPrompt(true);
  for (size_t i = 0; i < subscriptions_.size(); ++i) Grant(Attach(i), kPlenty, Subscription::kNoByteLimit);
  const auto left = [this] {
    return std::any_of(subscriptions_.begin(), subscriptions_.end(),
                       [](const auto& subscription) { return subscription.model->unsettled() > 0; });
  };
  for (int round = 0; left() && findings_.empty(); ++round) {
    if (round == kMostDrainRounds) return findings_.Add(Invariant::kProgress, "messages are left that never come");
    for (const size_t client : clients()) {
      if (const auto leases = LeasesOf(client); !leases.empty()) Ack(client, {{leases.front(), leases.back()}});
    }
    Advance(kDrainRound, false);
  }
  for (const SubscriptionState& subscription : subscriptions_) CheckDrained(subscription);
  Close(false);
  Open();
}

void World::CheckDrained(const SubscriptionState& subscription) {
  const TopicState& topic = topics_[subscription.topic];
  const std::string name(subscription.model->config().name.id());
  const auto engine = EngineOf(subscription);
  Expect(0, static_cast<uint64_t>(engine->stats().backlog_messages), Invariant::kFilter, "backlog left in " + name);
  Expect(topic.log.size() + 1, engine->floor().value(), Invariant::kFilter, "floor of " + name);
  Expect(topic.log.size() + 1, (*engine_->FindTopic(topic.name))->log().extent().first.value(), Invariant::kFilter,
         fmt::format("what the log of {} still holds", topic.name.id()));
}

}  // namespace sluice::model
