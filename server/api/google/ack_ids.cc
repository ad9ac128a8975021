#include "server/api/google/ack_ids.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/api/google/texts.h"
#include "server/log/log.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {
namespace {

// An ack id of a request. One of before a restart whose lease held then has the incarnation and the
// lease that it has now.
struct ReadId {
  uint32_t incarnation = 0;
  LeaseId lease;
  Offset offset;
  std::string_view text;

  bool operator<(const ReadId& other) const {
    return incarnation != other.incarnation ? incarnation < other.incarnation : lease < other.lease;
  }
};

// The texts of ids, found again by the leases they are of.
class Names {
 public:
  // REQUIRES: in order, each once.
  void Add(const ReadId& id) {
    Name& name = names_.emplace_back(Name{id.incarnation, id.lease, {}});
    std::copy(id.text.begin(), id.text.end(), name.text.begin());
  }

  void Find(uint32_t incarnation, const std::vector<LeaseRange>& ranges,
            std::vector<std::string>* found) const {
    for (const LeaseRange& range : ranges) {
      auto it = std::lower_bound(names_.begin(), names_.end(), std::pair(incarnation, range.first),
                                 [](const Name& name, const auto& wanted) {
                                   return std::pair(name.incarnation, name.lease) < wanted;
                                 });
      for (; it != names_.end() && it->incarnation == incarnation && it->lease <= range.last;
           ++it) {
        found->emplace_back(it->text.data(), it->text.size());
      }
    }
  }

 private:
  struct Name {
    uint32_t incarnation;
    LeaseId lease;
    std::array<char, kAckIdSize> text;
  };
  std::vector<Name> names_;
};

// Ack ids of one subscription, each once, in the order of their leases; those with consecutive
// leases and messages in one.
struct ReadIds {
  std::vector<LateAck> current;
  // Of earlier incarnations of the engine.
  std::map<uint32_t, std::vector<LateAck>> earlier;
  std::vector<std::string> invalid;
  // Of those that are not invalid; only where each is told of.
  Names names;

  static void Append(std::vector<LateAck>* acks, const ReadId& id) {
    if (!acks->empty()) {
      LateAck& last = acks->back();
      const uint64_t count = last.leases.last - last.leases.first + 1;
      if (id.lease == last.leases.last + 1 && id.offset == last.offset + count) {
        last.leases.last = id.lease;
        return;
      }
    }
    acks->push_back({{id.lease, id.lease}, id.offset});
  }
};

// Clients settle in any order; what was delivered together is settled together much faster.
void Sort(std::vector<ReadId>* ids) {
  const auto not_before = [](const ReadId& a, const ReadId& b) { return !(a < b); };
  if (std::adjacent_find(ids->begin(), ids->end(), not_before) == ids->end()) return;
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end(), not_before), ids->end());
}

void BringUpToDate(const Engine& engine, const Subscription& subscription, AckId* id) {
  if (id->incarnation == engine.incarnation()) return;
  const auto restored = subscription.RestoredLease(id->incarnation, id->lease, id->offset);
  if (!restored) return;
  id->incarnation = engine.incarnation();
  id->lease = *restored;
}

ReadIds Read(const Engine& engine, const Subscription& subscription,
             const std::vector<std::string_view>& ack_ids, bool named) {
  ReadIds ids;
  std::vector<ReadId> valid;
  valid.reserve(ack_ids.size());
  for (std::string_view text : ack_ids) {
    AckId id;
    if (!ReadAckId(text, &id) || id.subscription != subscription.id() || id.lease == LeaseId(0)) {
      ids.invalid.emplace_back(text);
    } else {
      BringUpToDate(engine, subscription, &id);
      valid.push_back({id.incarnation, id.lease, id.offset, text});
    }
  }
  Sort(&valid);
  for (const ReadId& id : valid) {
    ReadIds::Append(
        id.incarnation == engine.incarnation() ? &ids.current : &ids.earlier[id.incarnation], id);
    if (named) ids.names.Add(id);
  }
  return ids;
}

std::vector<LeaseRange> LeasesOf(const std::vector<LateAck>& acks) {
  std::vector<LeaseRange> leases;
  leases.reserve(acks.size());
  for (const LateAck& ack : acks) leases.push_back(ack.leases);
  return leases;
}

uint64_t CountOf(const std::vector<LateAck>& acks) {
  uint64_t count = 0;
  for (const LateAck& ack : acks) count += ack.leases.last - ack.leases.first + 1;
  return count;
}

void AcknowledgeLoosely(Subscription& subscription, const ReadIds& ids) {
  if (!ids.current.empty() &&
      subscription.Ack(kAnyone, LeasesOf(ids.current)) < CountOf(ids.current)) {
    subscription.AckLate(ids.current, /*before_restart=*/false);
  }
  for (const auto& [incarnation, acks] : ids.earlier)
    subscription.AckLate(acks, /*before_restart=*/true);
}

// Gathers the outcomes of the calls that a request may need, and answers after the last.
class Gathered : public std::enable_shared_from_this<Gathered> {
 public:
  Gathered(Names names, std::vector<std::string> invalid, AckIdsDone done)
      : names_(std::move(names)), done_(std::move(done)) {
    outcome_.invalid = std::move(invalid);
  }

  Subscription::AckDone Expect(uint32_t incarnation) {
    MutexLock lock(mu_);
    ++expected_;
    return [self = shared_from_this(), incarnation](const AckOutcome& outcome) {
      self->Add(incarnation, outcome);
    };
  }

  // No more is expected than what was asked for.
  void Answer() {
    AckIdsOutcome outcome;
    {
      MutexLock lock(mu_);
      if (expected_-- > 1) return;
      outcome = std::move(outcome_);
    }
    done_(std::move(outcome));
  }

 private:
  void Add(uint32_t incarnation, const AckOutcome& outcome) {
    {
      MutexLock lock(mu_);
      names_.Find(incarnation, outcome.confirmed,
                  outcome.status.ok() ? &outcome_.confirmed : &outcome_.failed);
      names_.Find(incarnation, outcome.refused, &outcome_.invalid);
      names_.Find(incarnation, outcome.too_early, &outcome_.unordered);
    }
    Answer();
  }

  const Names names_;
  const AckIdsDone done_;
  Mutex mu_;
  AckIdsOutcome outcome_ GUARDED_BY(mu_);
  // One for who asks.
  int expected_ GUARDED_BY(mu_) = 1;
};

std::shared_ptr<ActiveSpan> BeginSpan(const SettleTrace& trace, std::string_view operation,
                                      const Subscription& subscription, const ReadIds& ids) {
  if (trace.tracer == nullptr) return nullptr;
  return BeginSettle(trace.tracer, operation, subscription, LeasesOf(ids.current), trace.call);
}

void EndSpan(const std::shared_ptr<ActiveSpan>& span, uint64_t count,
             const absl::StatusOr<AckIdsOutcome>& outcome) {
  EndSettle(span, outcome.status(), count, outcome.ok() && outcome->all_confirmed());
}

// Why an id was refused, in a few words.
std::string_view WhyRefused(const Engine& engine, const Subscription& subscription,
                            std::string_view text, AckId* id) {
  if (!ReadAckId(text, id)) return "not an ack id";
  if (id->subscription != subscription.id()) return "of another subscription";
  BringUpToDate(engine, subscription, id);
  if (id->incarnation != engine.incarnation()) return "of before a restart";
  return subscription.WhyOver(id->lease, id->offset);
}

// One event for all that a request got refused: how many for which reason, and the first of them.
void LogRefused(const Engine& engine, const Subscription& subscription,
                const AckIdsOutcome& outcome) {
  std::map<std::string_view, size_t> reasons;
  AckId first;
  for (const std::string& text : outcome.invalid) {
    AckId id;
    ++reasons[WhyRefused(engine, subscription, text, &id)];
    if (first.lease == LeaseId(0)) first = id;
  }
  if (!outcome.unordered.empty())
    reasons["an earlier message of its key is outstanding"] = outcome.unordered.size();
  if (!outcome.failed.empty()) reasons["not durable"] = outcome.failed.size();
  std::string told;
  for (const auto& [reason, count] : reasons)
    told += fmt::format("{}{}: {}", told.empty() ? "" : ", ", reason, count);
  Log("acknowledgements were refused", {{"subscription", subscription.config().name.full()},
                                        {"reasons", told},
                                        {"lease", std::to_string(first.lease.value())},
                                        {"message_id", std::to_string(first.offset.value())}});
}

void AcknowledgeRead(Engine& engine, const std::shared_ptr<Subscription>& subscription, ReadIds ids,
                     bool exactly_once, const AckIdsDone& done) {
  if (!exactly_once) {
    if (!ids.invalid.empty()) return done(texts::InvalidAckId(ids.invalid.front()));
    AcknowledgeLoosely(*subscription, ids);
    return done(AckIdsOutcome());
  }
  auto told = [&engine, subscription, done](absl::StatusOr<AckIdsOutcome> outcome) {
    if (outcome.ok() && !outcome->all_confirmed()) LogRefused(engine, *subscription, *outcome);
    done(std::move(outcome));
  };
  auto gathered =
      std::make_shared<Gathered>(std::move(ids.names), std::move(ids.invalid), std::move(told));
  if (!ids.current.empty()) {
    subscription->AckConfirmed(kAnyone, LeasesOf(ids.current),
                               gathered->Expect(engine.incarnation()));
  }
  for (const auto& [incarnation, acks] : ids.earlier) {
    subscription->AckLateConfirmed(acks, gathered->Expect(incarnation));
  }
  gathered->Answer();
}

void NackEach(Engine& engine, Subscription& subscription, const ReadIds& ids,
              AckIdsOutcome* outcome) {
  std::vector<LeaseRange> confirmed =
      subscription.NackConfirmed(kAnyone, LeasesOf(ids.current), absl::ZeroDuration());
  std::sort(confirmed.begin(), confirmed.end(),
            [](const LeaseRange& a, const LeaseRange& b) { return a.first < b.first; });
  ids.names.Find(engine.incarnation(), confirmed, &outcome->confirmed);
  auto part = confirmed.begin();
  for (const LateAck& ack : ids.current) {
    for (LeaseId lease = ack.leases.first; lease <= ack.leases.last; ++lease) {
      while (part != confirmed.end() && part->last < lease) ++part;
      const bool is_confirmed = part != confirmed.end() && part->first <= lease;
      if (!is_confirmed) ids.names.Find(engine.incarnation(), {{lease, lease}}, &outcome->invalid);
    }
  }
}

absl::StatusOr<AckIdsOutcome> ModifyDeadline(Engine& engine,
                                             const std::shared_ptr<Subscription>& subscription,
                                             const ReadIds& ids, bool exactly_once,
                                             int32_t seconds) {
  AckIdsOutcome outcome;
  const auto extend = [&](LeaseRange range) {
    return subscription->Extend(kAnyone, range, absl::Seconds(seconds));
  };
  if (!exactly_once) {
    if (!ids.invalid.empty()) return texts::InvalidAckId(ids.invalid.front());
    for (const LateAck& ack : ids.current) {
      seconds == 0 ? subscription->Nack(kAnyone, ack.leases, absl::ZeroDuration())
                   : extend(ack.leases);
    }
    return outcome;
  }
  outcome.invalid = ids.invalid;
  if (seconds == 0) {
    NackEach(engine, *subscription, ids, &outcome);
  } else {
    for (const LateAck& ack : ids.current) {
      // What was extended may be extended again to see what was not.
      const uint64_t count = ack.leases.last - ack.leases.first + 1;
      if (extend(ack.leases) == count) {
        ids.names.Find(engine.incarnation(), {ack.leases}, &outcome.confirmed);
        continue;
      }
      for (LeaseId lease = ack.leases.first; lease <= ack.leases.last; ++lease) {
        const bool held = extend({lease, lease}) == 1;
        ids.names.Find(engine.incarnation(), {{lease, lease}},
                       held ? &outcome.confirmed : &outcome.invalid);
      }
    }
  }
  for (const auto& [incarnation, acks] : ids.earlier)
    ids.names.Find(incarnation, LeasesOf(acks), &outcome.invalid);
  return outcome;
}

}  // namespace

void AcknowledgeIds(Engine& engine, const std::shared_ptr<Subscription>& subscription,
                    const std::vector<std::string_view>& ack_ids, const SettleTrace& trace,
                    const AckIdsDone& done) {
  const bool exactly_once = subscription->properties().exactly_once;
  ReadIds ids = Read(engine, *subscription, ack_ids, exactly_once);
  const auto span = BeginSpan(trace, "ack", *subscription, ids);
  if (span == nullptr)
    return AcknowledgeRead(engine, subscription, std::move(ids), exactly_once, done);
  const uint64_t count = CountOf(ids.current);
  AcknowledgeRead(engine, subscription, std::move(ids), exactly_once,
                  [span, count, done](absl::StatusOr<AckIdsOutcome> outcome) {
                    EndSpan(span, count, outcome);
                    done(std::move(outcome));
                  });
}

absl::StatusOr<AckIdsOutcome> ModifyDeadlineOfIds(Engine& engine,
                                                  const std::shared_ptr<Subscription>& subscription,
                                                  const std::vector<std::string_view>& ack_ids,
                                                  int32_t seconds, const SettleTrace& trace) {
  const bool exactly_once = subscription->properties().exactly_once;
  const ReadIds ids = Read(engine, *subscription, ack_ids, exactly_once);
  const auto span = seconds == 0 ? BeginSpan(trace, "nack", *subscription, ids) : nullptr;
  auto outcome = ModifyDeadline(engine, subscription, ids, exactly_once, seconds);
  if (span != nullptr) EndSpan(span, CountOf(ids.current), outcome);
  return outcome;
}

grpc::Status ExactlyOnceError(const AckIdsOutcome& outcome) {
  google::rpc::ErrorInfo info;
  info.set_reason("EXACTLY_ONCE_ACKID_FAILURE");
  info.set_domain("pubsub.googleapis.com");
  const auto add = [&info](const std::vector<std::string>& ids, std::string_view why) {
    for (const std::string& id : ids) (*info.mutable_metadata())[id] = why;
  };
  add(outcome.invalid, texts::kPermanentFailure);
  add(outcome.unordered, texts::kUnorderedFailure);
  add(outcome.failed, texts::kTransientFailure);
  google::rpc::Status details;
  details.set_code(grpc::StatusCode::INVALID_ARGUMENT);
  details.set_message(std::string(texts::AckIdsFailed()));
  details.add_details()->PackFrom(info);
  return {grpc::StatusCode::INVALID_ARGUMENT, details.message(), details.SerializeAsString()};
}

}  // namespace sluice::server
