// What keeps the messages of one ordering key in order: which keys have messages out, with whom,
// and what waits behind them. Only keys with a message out or waiting are known here; a backlog of
// a million keys costs nothing.
//
// A message of a key may go to a consumer when nothing of its key waits, and when what is out of
// its key is out with the same consumer. When a message fails, the later ones of its key that are
// out are taken back (`Fenced`), and all come again in order; only the one that failed counts it as
// an attempt. An acknowledgement counts once all earlier ones of its key are in: until then the
// message is out, so that a failure of an earlier one brings it again.
//
//   keys.MayGo(key, consumer)                 -> keys.Out(key, consumer, {offset, lease, attempt});
//   keys.Ack(offset, [](Offset settled) {...})
//   keys.Fail(offset, attempts, when, &fenced) or keys.Condemn(offset, &fenced), and later Settle(offset) or Return(...)
//   keys.Next(consumer)                       -> keys.TakeNext(consumer, lease)
//
// All operations are O(log n) in what is known.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/hash/hash.h"
#include "core/base/clock.h"
#include "core/engine/lease_table.h"
#include "core/engine/offset_list.h"
#include "core/engine/out_list.h"
#include "core/message/batch.h"

namespace sluice {

class KeyQueues {
 public:
  // A head that failed more often than this goes behind those that did not, but for one of so many.
  static constexpr uint32_t kOftenFailed = 2;
  static constexpr uint32_t kOldestEvery = 10;

  // A message that waits: how often its delivery failed, when it may go (Instant() for at once, or
  // a time of day in microseconds since 1970), and which consumer failed it last; kAnyone for one
  // that has not failed.
  struct Waiting {
    Offset offset;
    uint32_t attempts = 0;
    Instant not_before;
    int64_t not_before_us = kDeliverAtOnce;
    ConsumerId failed_by = kAnyone;
    // Whether any consumer may have it: no earlier one of its key is out.
    bool free = true;
  };
  // A message that comes again because an earlier one of its key does. Its lease is over, unless it
  // was by an early acknowledgement.
  struct Fenced {
    LeaseId lease;
    Offset offset;
    bool acked = false;
  };
  using FencedList = std::vector<Fenced>;

  // Whether a message that comes after all known ones of its key may be delivered to this consumer
  // now.
  bool MayGo(std::string_view key, ConsumerId consumer) const;
  // Whether messages of it wait, or are on their way elsewhere.
  bool Waits(std::string_view key) const;
  // It is. REQUIRES: MayGo.
  void Out(std::string_view key, ConsumerId consumer, Offset offset, LeaseId lease,
           uint32_t attempt);
  // It is not: it waits behind those of its key. REQUIRES: it comes after all known ones.
  void Wait(std::string_view key, const Waiting& message);

  // What is out of the key of this message is out with another consumer from now on, if
  // holds(lease) says so of all of it: later messages of the key follow it there. Otherwise they
  // wait for all of it. REQUIRES: IsOut.
  template <class Fn>
  void HandTo(Offset offset, ConsumerId consumer, Fn&& holds) {
    Key& key = *out_.find(offset)->second;
    if (key.holder == consumer) return;
    if (!key.out.AllOf(
            [&](const OutMessage& message) { return message.acked || holds(message.lease); }))
      return;
    key.holder = consumer;
    Relist(key);
  }

  // False for a message that is not out any more.
  bool IsOut(Offset offset) const { return out_.contains(offset); }
  // Whether an earlier one of its key is out and not acknowledged. REQUIRES: IsOut.
  bool HasEarlier(Offset offset) const;

  // Calls settled(offset) for each message that is done with now, this one and perhaps later ones.
  // REQUIRES: IsOut.
  template <class Fn>
  void Ack(Offset offset, Fn&& settled) {
    Key& key = *out_.find(offset)->second;
    if (key.condemned.contains(offset)) return;  // on its way elsewhere
    key.out.Find(offset).acked = true;
    while (!key.out.empty() && key.out.front().acked) {
      settled(key.out.front().offset);
      ForgetFirstOut(key);
    }
    Relist(key);
  }

  // The message failed `attempts` times and may come again from `when` on. REQUIRES: IsOut.
  void Fail(Offset offset, uint32_t attempts, Instant when, FencedList* fenced,
            ConsumerId failed_by = kAnyone);
  // The message will not come again: its key waits until that is settled one way or the other.
  // REQUIRES: IsOut.
  void Condemn(Offset offset, FencedList* fenced);
  // The same for one that waits at the head of its key.
  void CondemnNext(ConsumerId consumer);
  // And for one that was found to be condemned before it was known here.
  void Condemned(std::string_view key, Offset offset);
  void Settle(Offset offset);
  void Return(const Waiting& message);

  // Takes a message of the key that waits out of it, or condemns it. Returns its attempts; nothing
  // when it does not wait.
  std::optional<uint32_t> Expire(std::string_view key, Offset offset, bool condemn);

  // The message with the lowest offset that may go to this consumer, of keys whose head has not
  // failed often; one of kOldestEvery is the one with the lowest offset of all.
  std::optional<Waiting> Next(ConsumerId consumer) const;
  // It goes. REQUIRES: Next(consumer).
  void TakeNext(ConsumerId consumer, LeaseId lease);
  // It is gone (expired, say).
  void DropNext(ConsumerId consumer);
  // It is not to go before this time of day.
  void DelayNext(ConsumerId consumer, int64_t not_before_us);

  // Lets those go whose time has come. Returns whether there was any.
  bool Promote(Instant now, int64_t wall_us);
  // When the next one may, of those that wait by the steady clock, and of those that wait for a
  // time of day; Never() and kNeverUs when there is none.
  static constexpr int64_t kNeverUs = std::numeric_limits<int64_t>::max();
  Instant next_due() const { return delayed_.empty() ? Instant::Never() : delayed_.begin()->first; }
  int64_t next_due_us() const { return scheduled_.empty() ? kNeverUs : scheduled_.begin()->first; }

  // Forgets every message below `before`, and adds to `settled` those whose acknowledgement counts
  // now.
  void DropBefore(Offset before, std::vector<Offset>* settled);

  bool has_ready() const { return !ready_.empty(); }
  size_t waiting() const { return waiting_; }
  size_t keys() const { return keys_.size(); }
  // Estimated.
  size_t memory_bytes() const;

 private:
  struct WaitingState {
    uint32_t attempts = 0;
    Instant not_before;
    int64_t not_before_us = kDeliverAtOnce;
  };
  struct Key {
    std::string_view name;
    // Who has what is out, and who failed the head of what waits.
    ConsumerId holder;
    ConsumerId failed_by = kAnyone;
    OutList out;
    absl::btree_map<Offset, WaitingState> waiting;
    // Those of which there is nothing to say: nearly all where many wait.
    OffsetList plain;
    // Several when one of what is out fails for good while a later one, seen after a restart, is
    // condemned already.
    absl::btree_set<Offset> condemned;
    // Where it is listed.
    ConsumerId listed_for;
    Offset listed_at;
    bool listed_last = false;
    Instant listed_until;
    int64_t listed_until_us = 0;
    enum class List : uint8_t { kNone, kReady, kDelayed, kScheduled } list = List::kNone;

    bool any_waits() const { return !waiting.empty() || !plain.empty(); }
    // Whether the first that waits is a plain one. REQUIRES: any_waits().
    bool plain_first() const {
      return waiting.empty() || (!plain.empty() && plain.front() < waiting.begin()->first);
    }
    // The first that waits. REQUIRES: any_waits().
    Waiting Head() const;
  };
  // Who may have it (nobody in particular: 0), whether its head failed often, its first offset,
  // itself.
  using ReadyEntry = std::tuple<ConsumerId, bool, Offset, Key*>;

  Key& KeyNamed(std::string_view name);
  void ForgetFirstOut(Key& key);
  void ForgetLastOut(Key& key);
  // Everything out behind `offset`, which is out, waits again.
  void TakeBackAfter(Key& key, Offset offset, FencedList* fenced);
  void Insert(Key& key, const Waiting& message);
  void Unlist(Key& key);
  // Puts the key where its first waiting message belongs; forgets it when nothing is left of it.
  void Relist(Key& key);
  const ReadyEntry* First(ConsumerId consumer) const;
  Waiting PopFirst(Key& key);

  // By name, found without making a string.
  struct NameHash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const {
      return absl::Hash<absl::string_view>()(absl::string_view(name.data(), name.size()));
    }
  };
  absl::node_hash_map<std::string, Key, NameHash, std::equal_to<>> keys_;
  // Messages out, those condemned included.
  absl::flat_hash_map<Offset, Key*> out_;
  absl::btree_set<ReadyEntry> ready_;
  absl::btree_set<std::pair<Instant, Key*>> delayed_;
  absl::btree_set<std::pair<int64_t, Key*>> scheduled_;
  // All that wait, and the plain ones of them.
  size_t waiting_ = 0;
  size_t plain_ = 0;
  // Taken since the oldest was.
  uint32_t since_oldest_ = 0;
};

}  // namespace sluice
