// The subscriptions of one topic: which of them hear of every publish, how far all of them got, and
// for how long they want acknowledged messages kept. Joining, leaving and moving a floor are O(log
// n) at most, so that a topic may have 100,000 subscriptions; an idle one costs a publish nothing.
//
//   members.Add(subscription);
//   for (const auto& subscription : *members.active()) ...        // a list that stays as it is
//   if (const Offset floor = members.LowestFloor(end); floor > trimmed) Trim(floor);
//
// Thread rule: a plain container; the topic locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "core/base/named_type.h"

namespace sluice {

class Subscription;

class TopicMembers {
 public:
  using List = std::vector<std::shared_ptr<Subscription>>;

  // REQUIRES: it is not a member.
  void Add(const std::shared_ptr<Subscription>& subscription);
  // False when it is no member.
  bool Remove(const Subscription* subscription);

  // What the member says of itself is looked at again: whether it hears of publishes, and how long
  // it keeps what is acknowledged.
  void Refresh(const Subscription* subscription);

  // All members, and those that hear of publishes, in the order in which they joined.
  std::shared_ptr<const List> all();
  std::shared_ptr<const List> active();

  // The lowest floor of all members; `none` without any. A member's floor may rise without a word;
  // one that is lowered must be said.
  Offset LowestFloor(Offset none);
  void Lower(const Subscription* subscription, Offset floor);

  // Members whose progress is stored: all but ephemeral ones.
  size_t durable() const { return durable_; }
  size_t snapshots() const { return snapshots_; }
  size_t size() const { return members_.size(); }
  // Whether somebody does not hear of publishes who will want the messages.
  bool any_idle() const { return members_.size() > active_.size() + snapshots_; }
  absl::Duration longest_acked_retention() const {
    return acked_retentions_.empty() ? absl::ZeroDuration() : acked_retentions_.rbegin()->first;
  }

 private:
  // Where a member is in members_.
  using Place = uint32_t;
  struct Member {
    std::shared_ptr<Subscription> subscription;
    // The order in which they joined.
    uint64_t number = 0;
    // No higher than its real floor.
    Offset floor;
    // Where it is in heap_.
    size_t in_heap = 0;
    absl::Duration acked_retention = absl::ZeroDuration();
  };

  Member* Find(const Subscription* subscription);
  void SetActive(const Member& member, bool active);
  void SetAckedRetention(Member* member, absl::Duration retention);
  // Puts the place of a member into heap_, where those above have no higher floor and those below
  // no lower one.
  void PutUp(size_t at, Place place);
  void PutDown(size_t at, Place place);
  void Put(size_t at, Place place);
  Offset FloorAt(size_t at) const { return members_[heap_[at]].floor; }

  uint64_t next_number_ = 1;
  size_t durable_ = 0;
  size_t snapshots_ = 0;
  // In no order.
  std::vector<Member> members_;
  absl::flat_hash_map<const Subscription*, Place> places_;
  // A binary heap of all members, the one with the lowest floor first.
  std::vector<Place> heap_;
  absl::btree_map<uint64_t, std::shared_ptr<Subscription>> active_;
  // How many members want it; zero is not counted.
  absl::btree_map<absl::Duration, size_t> acked_retentions_;
  // Made when asked for after a change, since many may come one after the other.
  std::shared_ptr<const List> all_;
  std::shared_ptr<const List> active_list_;
};

}  // namespace sluice
