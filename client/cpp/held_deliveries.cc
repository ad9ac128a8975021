#include "client/cpp/held_deliveries.h"

#include <algorithm>
#include <iterator>

namespace sluice::client {

std::optional<uint64_t> NewIdOf(std::span<const v1::TakenUp> taken_up, uint64_t id) {
  const auto it = std::find_if(taken_up.begin(), taken_up.end(), [id](const v1::TakenUp& taken) {
    return taken.range().first() <= id && id <= taken.range().last();
  });
  if (it == taken_up.end()) return std::nullopt;
  return it->first_delivery_id() + (id - it->range().first());
}

std::optional<uint64_t> HeldDeliveries::IdOf(const Name& name) const {
  if (name.first == stream_number_) return name.second;
  const auto it = renamed_.find(name);
  return it == renamed_.end() ? std::nullopt : std::optional(it->second);
}

void HeldDeliveries::Begin(uint64_t stream_number, uint32_t incarnation) {
  stream_number_ = stream_number;
  incarnation_ = incarnation;
  renamed_.clear();
  parked_.clear();
  decided_.clear();
}

void HeldDeliveries::Park(std::vector<Run> runs) {
  std::move(runs.begin(), runs.end(), std::back_inserter(parked_));
}

void HeldDeliveries::Decide(const Run& run, const Verdict& verdict) {
  ForEachId(run, [&](HeldId id) { decided_.push_back({id, verdict}); });
}

std::vector<uint64_t> HeldDeliveries::GiveUpDecided() {
  std::vector<uint64_t> acked;
  for (const Decided& one : std::exchange(decided_, {})) {
    if (one.verdict.acked()) acked.push_back(one.id.message_id);
  }
  return acked;
}

void HeldDeliveries::AddTo(std::vector<HeldId> others, v1::TakeUp* take_up) const {
  take_up->set_incarnation(incarnation_);
  for (const Run& run : parked_) ForEachId(run, [&](HeldId id) { others.push_back(id); });
  for (const Decided& one : decided_) others.push_back(one.id);
  std::sort(others.begin(), others.end(),
            [](HeldId a, HeldId b) { return a.delivery_id < b.delivery_id; });
  v1::HeldDeliveries* last = nullptr;
  for (const HeldId id : others) {
    if (last != nullptr && id.delivery_id == last->range().last()) continue;
    const uint64_t count = last == nullptr ? 0 : last->range().last() - last->range().first() + 1;
    if (last == nullptr || id.delivery_id != last->range().last() + 1 ||
        id.message_id != last->first_message_id() + count) {
      last = take_up->add_held();
      last->mutable_range()->set_first(id.delivery_id);
      last->set_first_message_id(id.message_id);
    }
    last->mutable_range()->set_last(id.delivery_id);
  }
}

HeldDeliveries::Resumed HeldDeliveries::Take(std::span<const v1::TakenUp> taken_up,
                                             const std::vector<Run>& running,
                                             uint64_t stream_number, uint32_t incarnation) {
  Resumed resumed;
  absl::btree_map<Name, uint64_t> renamed;
  const auto rename = [&](const Run& run) {
    for (const ReceivedMessage& message : run.messages()) {
      const Name name{run.stream_number, message.delivery_id};
      const auto earlier = IdOf(name);
      if (!earlier) continue;
      if (const auto now = NewIdOf(taken_up, *earlier)) renamed[name] = *now;
    }
  };
  for (const Run& run : running) rename(run);
  for (Run& run : parked_) {
    rename(run);
    while (run.count() > 0) {
      const auto held = [&](size_t i) {
        return renamed.contains({run.stream_number, run.received->messages[i].delivery_id});
      };
      size_t end = run.begin + 1;
      while (end < run.end && held(end) == held(run.begin)) ++end;
      const bool goes_on = held(run.begin);
      (goes_on ? resumed.runs : resumed.lost).push_back(run.TakeFront(end - run.begin));
    }
  }
  for (const Decided& one : decided_) {
    if (const auto now = NewIdOf(taken_up, one.id.delivery_id)) {
      resumed.decided.push_back({{*now, one.id.message_id}, one.verdict});
    } else if (one.verdict.acked()) {
      resumed.lost_acks.push_back(one.id.message_id);
    }
  }
  Begin(stream_number, incarnation);
  renamed_ = std::move(renamed);
  return resumed;
}

}  // namespace sluice::client
