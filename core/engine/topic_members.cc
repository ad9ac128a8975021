#include "core/engine/topic_members.h"

#include <algorithm>
#include <limits>

#include "core/engine/subscription.h"

namespace sluice {
namespace {

constexpr uint64_t kNobody = std::numeric_limits<uint64_t>::max();

}  // namespace

void TopicMembers::Add(const std::shared_ptr<Subscription>& subscription) {
  const uint64_t number = next_number_++;
  const Offset floor = subscription->floor();
  members_[number] = {subscription, floor, absl::ZeroDuration()};
  numbers_[subscription.get()] = number;
  if (floors_.empty()) floors_.insert({Offset(kNobody), kNobody});
  floors_.insert({floor, number});
  if (!subscription->ephemeral()) ++durable_;
  if (subscription->is_snapshot()) ++snapshots_;
  all_ = nullptr;
  Refresh(subscription.get());
}

bool TopicMembers::Remove(const Subscription* subscription) {
  const auto found = numbers_.find(subscription);
  if (found == numbers_.end()) return false;
  const auto it = members_.find(found->second);
  SetActive(it->first, it->second.subscription, false);
  SetAckedRetention(&it->second, absl::ZeroDuration());
  floors_.erase({it->second.floor, it->first});
  if (!subscription->ephemeral()) --durable_;
  if (subscription->is_snapshot()) --snapshots_;
  members_.erase(it);
  numbers_.erase(found);
  all_ = nullptr;
  return true;
}

void TopicMembers::Refresh(const Subscription* subscription) {
  const auto found = numbers_.find(subscription);
  if (found == numbers_.end()) return;
  Member& member = members_.find(found->second)->second;
  SetActive(found->second, member.subscription, subscription->hears_publishes());
  SetAckedRetention(&member, subscription->acked_retention());
}

void TopicMembers::SetActive(uint64_t number, const std::shared_ptr<Subscription>& subscription, bool active) {
  const bool changed = active ? active_.try_emplace(number, subscription).second : active_.erase(number) > 0;
  if (changed) active_list_ = nullptr;
}

void TopicMembers::SetAckedRetention(Member* member, absl::Duration retention) {
  const absl::Duration before = std::exchange(member->acked_retention, retention);
  if (before == retention) return;
  if (retention > absl::ZeroDuration()) ++acked_retentions_[retention];
  if (auto old = acked_retentions_.find(before); old != acked_retentions_.end() && --old->second == 0) {
    acked_retentions_.erase(old);
  }
}

std::shared_ptr<const TopicMembers::List> TopicMembers::all() {
  if (all_ == nullptr) {
    auto list = std::make_shared<List>();
    for (const auto& [number, member] : members_) list->push_back(member.subscription);
    all_ = std::move(list);
  }
  return all_;
}

std::shared_ptr<const TopicMembers::List> TopicMembers::active() {
  if (active_list_ == nullptr) {
    auto list = std::make_shared<List>();
    for (const auto& [number, subscription] : active_) list->push_back(subscription);
    active_list_ = std::move(list);
  }
  return active_list_;
}

Offset TopicMembers::LowestFloor(Offset none) {
  while (!members_.empty()) {
    const auto [recorded, number] = *floors_.begin();
    Member& lowest = members_.find(number)->second;
    const Offset floor = lowest.subscription->floor();
    if (floor <= recorded) return floor;
    floors_.erase(floors_.begin());
    lowest.floor = floor;
    floors_.insert({floor, number});
  }
  return none;
}

void TopicMembers::Lower(const Subscription* subscription, Offset floor) {
  const auto found = numbers_.find(subscription);
  if (found == numbers_.end()) return;
  Member& member = members_.find(found->second)->second;
  if (floor >= member.floor) return;
  floors_.erase({member.floor, found->second});
  member.floor = floor;
  floors_.insert({floor, found->second});
}

}  // namespace sluice
