#include "core/engine/topic_members.h"

#include <algorithm>
#include <utility>

#include "core/engine/subscription.h"

namespace sluice {

void TopicMembers::Add(const std::shared_ptr<Subscription>& subscription) {
  const auto place = static_cast<Place>(members_.size());
  places_[subscription.get()] = place;
  members_.push_back(
      {.subscription = subscription, .number = next_number_++, .floor = subscription->floor()});
  heap_.push_back(place);
  PutUp(heap_.size() - 1, place);
  if (!subscription->ephemeral()) ++durable_;
  if (subscription->is_snapshot()) ++snapshots_;
  all_ = nullptr;
  Refresh(subscription.get());
}

bool TopicMembers::Remove(const Subscription* subscription) {
  const auto found = places_.find(subscription);
  if (found == places_.end()) return false;
  const Place place = found->second;
  places_.erase(found);
  Member& member = members_[place];
  SetActive(member, false);
  SetAckedRetention(&member, absl::ZeroDuration());
  const size_t hole = member.in_heap;
  const Place last_in_heap = heap_.back();
  heap_.pop_back();
  if (hole < heap_.size()) {
    PutUp(hole, last_in_heap);
    PutDown(members_[last_in_heap].in_heap, last_in_heap);
  }
  // The last one takes its place.
  if (place + 1 < members_.size()) {
    member = std::move(members_.back());
    places_[member.subscription.get()] = place;
    heap_[member.in_heap] = place;
  }
  members_.pop_back();
  if (!subscription->ephemeral()) --durable_;
  if (subscription->is_snapshot()) --snapshots_;
  all_ = nullptr;
  return true;
}

TopicMembers::Member* TopicMembers::Find(const Subscription* subscription) {
  const auto found = places_.find(subscription);
  return found == places_.end() ? nullptr : &members_[found->second];
}

void TopicMembers::Refresh(const Subscription* subscription) {
  Member* const member = Find(subscription);
  if (member == nullptr) return;
  SetActive(*member, subscription->hears_publishes());
  SetAckedRetention(member, subscription->acked_retention());
}

void TopicMembers::SetActive(const Member& member, bool active) {
  const bool changed = active ? active_.try_emplace(member.number, member.subscription).second
                              : active_.erase(member.number) > 0;
  if (changed) active_list_ = nullptr;
}

void TopicMembers::SetAckedRetention(Member* member, absl::Duration retention) {
  const absl::Duration before = std::exchange(member->acked_retention, retention);
  if (before == retention) return;
  if (retention > absl::ZeroDuration()) ++acked_retentions_[retention];
  if (auto old = acked_retentions_.find(before);
      old != acked_retentions_.end() && --old->second == 0) {
    acked_retentions_.erase(old);
  }
}

std::shared_ptr<const TopicMembers::List> TopicMembers::all() {
  if (all_ == nullptr) {
    std::vector<const Member*> members;
    members.reserve(members_.size());
    for (const Member& member : members_) members.push_back(&member);
    std::sort(members.begin(), members.end(),
              [](const Member* a, const Member* b) { return a->number < b->number; });
    auto list = std::make_shared<List>();
    list->reserve(members.size());
    for (const Member* member : members) list->push_back(member->subscription);
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

void TopicMembers::Put(size_t at, Place place) {
  heap_[at] = place;
  members_[place].in_heap = at;
}

void TopicMembers::PutUp(size_t at, Place place) {
  for (; at > 0; at = (at - 1) / 2) {
    const size_t above = (at - 1) / 2;
    if (FloorAt(above) <= members_[place].floor) break;
    Put(at, heap_[above]);
  }
  Put(at, place);
}

void TopicMembers::PutDown(size_t at, Place place) {
  for (;;) {
    size_t below = 2 * at + 1;
    if (below >= heap_.size()) break;
    if (below + 1 < heap_.size() && FloorAt(below + 1) < FloorAt(below)) ++below;
    if (members_[place].floor <= FloorAt(below)) break;
    Put(at, heap_[below]);
    at = below;
  }
  Put(at, place);
}

Offset TopicMembers::LowestFloor(Offset none) {
  if (heap_.empty()) return none;
  for (;;) {
    Member& lowest = members_[heap_.front()];
    const Offset floor = lowest.subscription->floor();
    if (floor <= lowest.floor) return floor;
    lowest.floor = floor;
    PutDown(0, heap_.front());
  }
}

void TopicMembers::Lower(const Subscription* subscription, Offset floor) {
  Member* const member = Find(subscription);
  if (member == nullptr || floor >= member->floor) return;
  member->floor = floor;
  PutUp(member->in_heap, heap_[member->in_heap]);
}

}  // namespace sluice
