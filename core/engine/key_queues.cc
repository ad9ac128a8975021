#include "core/engine/key_queues.h"

#include <algorithm>
#include <utility>

namespace sluice {

bool KeyQueues::MayGo(std::string_view key, ConsumerId consumer) const {
  auto it = keys_.find(key);
  if (it == keys_.end()) return true;
  const Key& state = it->second;
  return !state.any_waits() && state.condemned.empty() &&
         (state.out.empty() || state.holder == consumer);
}

bool KeyQueues::Waits(std::string_view key) const {
  auto it = keys_.find(key);
  return it != keys_.end() && (it->second.any_waits() || !it->second.condemned.empty());
}

KeyQueues::Key& KeyQueues::KeyNamed(std::string_view name) {
  const auto [it, is_new] = keys_.try_emplace(name);
  if (is_new) it->second.name = it->first;
  return it->second;
}

void KeyQueues::Out(std::string_view key, ConsumerId consumer, Offset offset, LeaseId lease,
                    uint32_t attempt) {
  Key& state = KeyNamed(key);
  state.holder = consumer;
  state.out.PushBack({offset, lease, attempt});
  out_[offset] = &state;
}

void KeyQueues::Wait(std::string_view key, const Waiting& message) {
  Key& state = KeyNamed(key);
  if (message.attempts == 0 && message.not_before == Instant() &&
      message.not_before_us == kDeliverAtOnce) {
    state.plain.PushBack(message.offset);
    ++waiting_;
    ++plain_;
  } else {
    Insert(state, message);
  }
  Relist(state);
}

bool KeyQueues::HasEarlier(Offset offset) const {
  return out_.find(offset)->second->out.front().offset < offset;
}

void KeyQueues::ForgetFirstOut(Key& key) {
  out_.erase(key.out.front().offset);
  key.out.PopFront();
}

void KeyQueues::ForgetLastOut(Key& key) {
  out_.erase(key.out.back().offset);
  key.out.PopBack();
}

void KeyQueues::Insert(Key& key, const Waiting& message) {
  key.waiting[message.offset] = {message.attempts, message.not_before, message.not_before_us};
  ++waiting_;
}

void KeyQueues::TakeBackAfter(Key& key, Offset offset, FencedList* fenced) {
  const size_t before = fenced->size();
  while (key.out.back().offset > offset) {
    const OutMessage& taken = key.out.back();
    fenced->push_back({taken.lease, taken.offset, taken.acked});
    // It did not fail: the next delivery is the same attempt.
    Insert(key, {taken.offset, taken.attempt - 1, Instant()});
    ForgetLastOut(key);
  }
  std::reverse(fenced->begin() + static_cast<ptrdiff_t>(before), fenced->end());
}

void KeyQueues::Fail(Offset offset, uint32_t attempts, Instant when, FencedList* fenced,
                     ConsumerId failed_by) {
  Key& key = *out_.find(offset)->second;
  TakeBackAfter(key, offset, fenced);
  ForgetLastOut(key);
  Insert(key, {offset, attempts, when});
  key.failed_by = failed_by;
  Relist(key);
}

void KeyQueues::Condemn(Offset offset, FencedList* fenced) {
  Key& key = *out_.find(offset)->second;
  TakeBackAfter(key, offset, fenced);
  key.out.PopBack();
  key.condemned.insert(offset);  // and it stays in out_
  Relist(key);
}

void KeyQueues::CondemnNext(ConsumerId consumer) {
  Key& key = *std::get<Key*>(*First(consumer));
  const Waiting message = PopFirst(key);
  key.condemned.insert(message.offset);
  out_[message.offset] = &key;
  Relist(key);
}

void KeyQueues::Condemned(std::string_view key, Offset offset) {
  Key& state = KeyNamed(key);
  state.condemned.insert(offset);
  out_[offset] = &state;
  Relist(state);
}

std::optional<uint32_t> KeyQueues::Expire(std::string_view name, Offset offset, bool condemn) {
  auto it = keys_.find(name);
  if (it == keys_.end()) return std::nullopt;
  Key& key = it->second;
  uint32_t attempts = 0;
  if (auto found = key.waiting.find(offset); found != key.waiting.end()) {
    attempts = found->second.attempts;
    key.waiting.erase(found);
  } else if (key.plain.Erase(offset)) {
    --plain_;
  } else {
    return std::nullopt;
  }
  --waiting_;
  if (condemn) {
    key.condemned.insert(offset);
    out_[offset] = &key;
  }
  Relist(key);
  return attempts;
}

void KeyQueues::Settle(Offset offset) {
  auto it = out_.find(offset);
  if (it == out_.end() || it->second->condemned.erase(offset) == 0) return;
  Key& key = *it->second;
  out_.erase(it);
  Relist(key);
}

void KeyQueues::Return(const Waiting& message) {
  auto it = out_.find(message.offset);
  if (it == out_.end() || it->second->condemned.erase(message.offset) == 0) return;
  Key& key = *it->second;
  out_.erase(it);
  Insert(key, message);
  Relist(key);
}

const KeyQueues::ReadyEntry* KeyQueues::First(ConsumerId consumer) const {
  const bool oldest = since_oldest_ + 1 >= kOldestEvery;
  const ReadyEntry* first = nullptr;
  for (const bool last : {false, true}) {
    if (first != nullptr && !oldest) return first;
    for (const ConsumerId id : {ConsumerId(0), consumer}) {
      const auto it = ready_.lower_bound({id, last, Offset(0), nullptr});
      if (it == ready_.end() || std::get<ConsumerId>(*it) != id || std::get<bool>(*it) != last)
        continue;
      if (first == nullptr || std::get<Offset>(*it) < std::get<Offset>(*first)) first = &*it;
    }
  }
  return first;
}

std::optional<KeyQueues::Waiting> KeyQueues::Next(ConsumerId consumer) const {
  const ReadyEntry* entry = First(consumer);
  if (entry == nullptr) return std::nullopt;
  const Key& key = *std::get<Key*>(*entry);
  Waiting head = key.Head();
  head.failed_by = key.failed_by;
  head.free = key.out.empty();
  return head;
}

KeyQueues::Waiting KeyQueues::PopFirst(Key& key) {
  const Waiting head = key.Head();
  --waiting_;
  if (key.plain_first()) {
    key.plain.PopFront();
    --plain_;
  } else {
    key.waiting.erase(key.waiting.begin());
  }
  return head;
}

KeyQueues::Waiting KeyQueues::Key::Head() const {
  if (plain_first()) return {.offset = plain.front(), .not_before = {}};
  const auto& [offset, state] = *waiting.begin();
  return {offset, state.attempts, state.not_before, state.not_before_us};
}

void KeyQueues::TakeNext(ConsumerId consumer, LeaseId lease) {
  Key& key = *std::get<Key*>(*First(consumer));
  const Waiting message = PopFirst(key);
  since_oldest_ = since_oldest_ + 1 < kOldestEvery ? since_oldest_ + 1 : 0;
  key.holder = consumer;
  key.failed_by = kAnyone;
  key.out.PushBack({message.offset, lease, message.attempts + 1});
  out_[message.offset] = &key;
  Relist(key);
}

void KeyQueues::DropNext(ConsumerId consumer) {
  Key& key = *std::get<Key*>(*First(consumer));
  PopFirst(key);
  Relist(key);
}

void KeyQueues::DelayNext(ConsumerId consumer, int64_t not_before_us) {
  Key& key = *std::get<Key*>(*First(consumer));
  Waiting message = PopFirst(key);
  message.not_before_us = not_before_us;
  Insert(key, message);
  Relist(key);
}

bool KeyQueues::Promote(Instant now, int64_t wall_us) {
  bool any = false;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    Key& key = *delayed_.begin()->second;
    key.waiting.begin()->second.not_before = Instant();
    Relist(key);
    any = true;
  }
  while (!scheduled_.empty() && scheduled_.begin()->first <= wall_us) {
    Key& key = *scheduled_.begin()->second;
    key.waiting.begin()->second.not_before_us = kDeliverAtOnce;
    Relist(key);
    any = true;
  }
  return any;
}

size_t KeyQueues::memory_bytes() const {
  // What a node of each container takes, about.
  constexpr size_t kKeyBytes = 400;
  constexpr size_t kWaitingBytes = 48;
  constexpr size_t kPlainBytes = 2;
  return keys_.size() * kKeyBytes + (waiting_ - plain_) * kWaitingBytes + plain_ * kPlainBytes;
}

void KeyQueues::Unlist(Key& key) {
  if (key.list == Key::List::kReady)
    ready_.erase({key.listed_for, key.listed_last, key.listed_at, &key});
  if (key.list == Key::List::kDelayed) delayed_.erase({key.listed_until, &key});
  if (key.list == Key::List::kScheduled) scheduled_.erase({key.listed_until_us, &key});
  key.list = Key::List::kNone;
}

void KeyQueues::Relist(Key& key) {
  Unlist(key);
  if (!key.condemned.empty()) return;
  if (!key.any_waits()) {
    if (key.out.empty()) keys_.erase(key.name);
    return;
  }
  const Waiting head = key.Head();
  if (head.not_before != Instant()) {
    key.list = Key::List::kDelayed;
    key.listed_until = head.not_before;
    delayed_.insert({key.listed_until, &key});
  } else if (head.not_before_us != kDeliverAtOnce) {
    key.list = Key::List::kScheduled;
    key.listed_until_us = head.not_before_us;
    scheduled_.insert({key.listed_until_us, &key});
  } else {
    key.list = Key::List::kReady;
    key.listed_for = key.out.empty() ? ConsumerId(0) : key.holder;
    key.listed_last = head.attempts > kOftenFailed;
    key.listed_at = head.offset;
    ready_.insert({key.listed_for, key.listed_last, key.listed_at, &key});
  }
}

void KeyQueues::DropBefore(Offset before, std::vector<Offset>* settled) {
  for (auto it = keys_.begin(); it != keys_.end();) {
    Key& key = it++->second;
    while (key.any_waits() && key.Head().offset < before) PopFirst(key);
    while (!key.out.empty() && (key.out.front().offset < before || key.out.front().acked)) {
      if (key.out.front().offset >= before) settled->push_back(key.out.front().offset);
      ForgetFirstOut(key);
    }
    while (!key.condemned.empty() && *key.condemned.begin() < before) {
      out_.erase(*key.condemned.begin());
      key.condemned.erase(key.condemned.begin());
    }
    Relist(key);
  }
}

}  // namespace sluice
