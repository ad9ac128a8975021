// How a world comes to rest, and what is compared then.
#include <algorithm>

#include "tests/model/world.h"
#include "tests/support/answer.h"

namespace sluice::model {
namespace {

// More turns than this, and the engine will not come to rest.
constexpr int kMostTurns = 10'000;
// Shorter than any lease, so that what was taken is acknowledged; together longer than any delay,
// also of a message that waited for a time of day when the clock was set back.
constexpr absl::Duration kDrainRound = absl::Seconds(5);
constexpr int kMostDrainRounds = 10'000;
constexpr int64_t kPlenty = 1'000'000;

}  // namespace

void World::Settle() {
  for (int turns = 0;; ++turns) {
    latest_wall_us_ = std::max(latest_wall_us_, moment().wall_us);
    for (const SubscriptionState& subscription : subscriptions_) subscription.model->Tick(moment());
    const bool ran = engine_->timers().RunDue() > 0;
    const bool committed = prompt_ && stage_->Commit(SIZE_MAX) > 0;
    if (!ran && !committed) break;
    if (turns == kMostTurns)
      return findings_.Add(Invariant::kProgress, "the engine does not come to rest");
  }
  Check();
}

void World::Check() {
  const bool idle = stage_->size() == 0;
  if (!idle) rested_ = now();
  for (const SubscriptionState& subscription : subscriptions_) {
    // An open breaker holds messages back from consumers that fail everything; how many, and when,
    // has its own tests.
    const bool held_back = EngineOf(subscription)->stats().breaker != BreakerState::kClosed;
    subscription.model->CheckProgress(moment(), idle, held_back);
    CheckCounts(subscription);
    if (idle) subscription.model->Saved();
  }
  for (const TopicState& topic : topics_) {
    const Offset first = (*engine_->FindTopic(topic.name))->log().extent().first;
    CheckKept(topic, first);
    if (idle) CheckFreed(topic, first);
  }
  CheckMetrics();
}

void World::CheckCounts(const SubscriptionState& subscription) {
  const SubscriptionStats stats = EngineOf(subscription)->stats();
  const SubscriptionModel& model = *subscription.model;
  const std::string name(model.config().name.id());
  Expect(model.leased(), static_cast<uint64_t>(stats.leased_messages), Invariant::kCounts,
         "leases of " + name);
  const Bounds expected = model.backlog(stage_->size() == 0);
  const auto backlog = static_cast<uint64_t>(stats.backlog_messages);
  const uint64_t overdue = model.overdue(moment(), rested_);
  if (overdue > 0 && backlog > expected.most - overdue) {
    findings_.Add(Invariant::kExpiry, fmt::format("{}: {} in the backlog, of which {} have expired",
                                                  name, backlog, overdue));
  }
  Expect(std::clamp(backlog, expected.least, expected.most), backlog, Invariant::kCounts,
         "backlog of " + name);
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
  const uint64_t expired = counted.expired_leases.value();
  Expect(std::clamp(expired, truth_.expired - truth_.expired_or_not, truth_.expired), expired,
         Invariant::kCounts, "expired leases");
  expect(truth_.dead_lettered, counted.dead_lettered_messages, "dead-lettered messages");
}

// What is not acknowledged is in the log, and what is, for as long as the topic keeps it.
void World::CheckKept(const TopicState& topic, Offset first) {
  for (const SubscriptionState& subscription : subscriptions_) {
    const uint64_t needed = subscription.model->FirstNeeded();
    if (topics_[subscription.topic].id == topic.id && needed < first.value()) {
      findings_.Add(Invariant::kNothingLost,
                    fmt::format("{} was trimmed to {}, and {} needs message {}", topic.name.id(),
                                first.value(), subscription.model->config().name.id(), needed));
    }
  }
  if (first == Offset(1) || topic.config.acked_retention == absl::ZeroDuration()) return;
  const int64_t kept_until_us = topic.log.at(first.value() - 1).publish_us +
                                absl::ToInt64Microseconds(topic.config.acked_retention);
  if (kept_until_us > latest_wall_us_) {
    findings_.Add(
        Invariant::kNothingLost,
        fmt::format("{} was trimmed to {}, sooner than it may be", topic.name.id(), first.value()));
  }
}

// What every subscription has acknowledged goes at once where no retention keeps it.
void World::CheckFreed(const TopicState& topic, Offset first) {
  if (topic.config.acked_retention > absl::ZeroDuration()) return;
  uint64_t wanted = topic.log.size() + 1;
  bool any = false;
  for (const SubscriptionState& subscription : subscriptions_) {
    if (topics_[subscription.topic].id != topic.id) continue;
    // What it goes back to may still be needed.
    if (subscription.seek) return;
    any = true;
    wanted = std::min(wanted, subscription.model->FirstUnsettled());
  }
  if (!any || first.value() >= wanted) return;
  findings_.Add(Invariant::kNothingKept,
                fmt::format("{} is retained from {} on, and nobody needs anything before {}",
                            topic.name.id(), first.value(), wanted));
}

void World::AdoptLeases() {
  for (const SubscriptionState& subscription : subscriptions_) {
    const auto engine = EngineOf(subscription);
    subscription.model->Restored([&](const SavedLease& origin) {
      return engine->RestoredLease(origin.incarnation, origin.first, origin.offsets.begin);
    });
    // Their messages are read before anything happens.
    while (engine->stats().leased_messages > 0 && stage_->Commit(SIZE_MAX) > 0) {
    }
    Expect(subscription.model->leased(), static_cast<uint64_t>(engine->stats().leased_messages),
           Invariant::kLeaseSurvives, "leases of before the restart");
  }
}

void World::CheckStore(Backend& backend, bool clean) {
  for (const SubscriptionState& subscription : subscriptions_) {
    subscription.model->Recovered(backend.OpenCursor(subscription.id)->state(), clean, moment());
  }
  for (const TopicState& topic : topics_) CheckLog(backend, topic);
}

void World::CheckLog(Backend& backend, const TopicState& topic) {
  const std::shared_ptr<TopicLog> log = backend.OpenLog(topic.id);
  const LogExtent extent = log->extent();
  Expect(topic.log.size() + 1, extent.next.value(), Invariant::kNothingLost,
         fmt::format("end of the log of {}", topic.name.id()));
  for (Offset at = extent.first; at < extent.next;) {
    Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
    log->Read(at, kPlenty, answer.callback());
    const auto read = answer.Wait();
    if (!read.ok() || read->empty() || read->front()->first() > at) {
      return findings_.Add(Invariant::kNothingLost,
                           fmt::format("message {} cannot be read", at.value()));
    }
    for (const Ref<Batch>& batch : *read) {
      for (; at < batch->end(); at += 1) {
        if (batch->message(static_cast<uint32_t>(at - batch->first())) !=
            topic.log.at(at.value()).bytes) {
          findings_.Add(Invariant::kNothingLost,
                        fmt::format("message {} is not as stored", at.value()));
        }
      }
    }
  }
}

void World::Drain() {
  SetFull(false);
  JumpWall(absl::Microseconds(latest_wall_us_ - moment().wall_us));
  SetPrompt(true);
  for (size_t i = 0; i < subscriptions_.size(); ++i)
    Grant(Attach(i), kPlenty, Subscription::kNoByteLimit);
  const auto is_left = [this](const SubscriptionState& subscription) {
    return subscription.model->backlog(false).least > 0 ||
           EngineOf(subscription)->stats().backlog_messages > 0;
  };
  const auto left = [&] {
    return std::find_if(subscriptions_.begin(), subscriptions_.end(), is_left);
  };
  for (int round = 0; left() != subscriptions_.end() && findings_.empty(); ++round) {
    if (round == kMostDrainRounds) {
      const SubscriptionModel& model = *left()->model;
      return findings_.Add(
          Invariant::kProgress,
          fmt::format("{}: of {} messages that are left {} must come; message {} does not",
                      model.config().name.id(), EngineOf(*left())->stats().backlog_messages,
                      model.backlog(false).least, model.FirstNeeded()));
    }
    for (const size_t client : clients()) {
      if (const auto leases = LeasesOf(client); !leases.empty())
        Ack(client, {{leases.front(), leases.back()}});
    }
    Advance(std::min(engine_->timers().NextDue() - now(), kDrainRound), false);
  }
  for (const SubscriptionState& subscription : subscriptions_) CheckDrained(subscription);
  Close(false);
  Open();
}

void World::CheckDrained(const SubscriptionState& subscription) {
  const TopicState& topic = topics_[subscription.topic];
  const std::string name(subscription.model->config().name.id());
  const auto engine = EngineOf(subscription);
  Expect(0, static_cast<uint64_t>(engine->stats().backlog_messages), Invariant::kFilter,
         "backlog left in " + name);
  Expect(topic.log.size() + 1, engine->floor().value(), Invariant::kFilter, "floor of " + name);
  if (topic.config.acked_retention > absl::ZeroDuration()) return;
  Expect(topic.log.size() + 1, (*engine_->FindTopic(topic.name))->log().extent().first.value(),
         Invariant::kFilter, fmt::format("what the log of {} still holds", topic.name.id()));
}

}  // namespace sluice::model
