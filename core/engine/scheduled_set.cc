#include "core/engine/scheduled_set.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "core/message/limits.h"

namespace sluice {
namespace {

constexpr int64_t kSlotUs = 100'000;
// Of a tree's node, for each entry.
constexpr size_t kEntryBytes = 48;

void AppendVarint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

uint64_t ReadVarint(const char** at) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(*(*at)++);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
}

// Small numbers of either sign become small ones (protobuf's zigzag encoding).
uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Whether `next` may be a part of `range`.
bool Continues(const ReadyRange& range, const ReadyRange& next) {
  return range.offsets.end == next.offsets.begin && range.attempts == next.attempts &&
         range.priority == next.priority;
}

}  // namespace

int64_t ScheduledSet::SlotOf(int64_t until_us) {
  return until_us >= 0 ? until_us / kSlotUs : (until_us + 1) / kSlotUs - 1;
}

void ScheduledSet::Add(const ReadyRange& range, int64_t until_us) {
  count_ += range.offsets.size();
  Put({range, until_us});
}

void ScheduledSet::Put(const Entry& entry) {
  const int64_t number = SlotOf(entry.until_us);
  if (number <= near_slot_) return AddNear(entry);
  Slot& slot = slots_[number];
  const bool is_new = slot.first_us == kNever;
  slot.lowest =
      is_new ? entry.range.offsets.begin : std::min(slot.lowest, entry.range.offsets.begin);
  slot.highest = is_new ? entry.range.offsets.end : std::max(slot.highest, entry.range.offsets.end);
  slot.first_us = std::min(slot.first_us, entry.until_us);
  if (!is_new && slot.last.until_us == entry.until_us && Continues(slot.last.range, entry.range)) {
    slot.last.range.offsets.end = entry.range.offsets.end;
    return;
  }
  if (!is_new) {
    packed_bytes_ -= slot.packed.size();
    PackLast(&slot);
    packed_bytes_ += slot.packed.size();
  }
  slot.last = entry;
}

void ScheduledSet::AddNear(const Entry& entry) {
  // Neighbours for the same time, as a batch has them, are one entry.
  auto [begin, end] = near_.equal_range(entry.until_us);
  if (begin != end) {
    ReadyRange& last = std::prev(end)->second;
    if (Continues(last, entry.range)) {
      last.offsets.end = entry.range.offsets.end;
      return;
    }
  }
  near_.emplace_hint(end, entry.until_us, entry.range);
}

void ScheduledSet::PackLast(Slot* slot) {
  const auto distance = [](Offset from, Offset to) {
    return static_cast<int64_t>(to.value() - from.value());
  };
  const ReadyRange& range = slot->last.range;
  AppendVarint(&slot->packed,
               ZigZag(distance(slot->base.range.offsets.begin, range.offsets.begin)));
  AppendVarint(&slot->packed, ZigZag(slot->last.until_us - slot->base.until_us));
  AppendVarint(&slot->packed, range.offsets.size());
  AppendVarint(&slot->packed, uint64_t{range.attempts} * (kMaxPriority + 1) + range.priority);
  slot->base = slot->last;
}

void ScheduledSet::Unpack(const Slot& slot, const std::function<void(const Entry&)>& each) {
  const char* at = slot.packed.data();
  const char* const end = at + slot.packed.size();
  Entry entry;
  while (at < end) {
    entry.range.offsets.begin += static_cast<uint64_t>(UnZigZag(ReadVarint(&at)));
    entry.until_us += UnZigZag(ReadVarint(&at));
    entry.range.offsets.end = entry.range.offsets.begin + ReadVarint(&at);
    const uint64_t kind = ReadVarint(&at);
    entry.range.attempts = static_cast<uint32_t>(kind / (kMaxPriority + 1));
    entry.range.priority = static_cast<uint8_t>(kind % (kMaxPriority + 1));
    each(entry);
  }
  each(slot.last);
}

bool ScheduledSet::TakeDue(int64_t wall_us, const std::function<void(const ReadyRange&)>& due) {
  const uint64_t before = count_;
  const auto take = [&](const ReadyRange& range) {
    count_ -= range.offsets.size();
    due(range);
  };
  while (!near_.empty() && near_.begin()->first <= wall_us) {
    take(near_.begin()->second);
    near_.erase(near_.begin());
  }
  while (!slots_.empty() && slots_.begin()->second.first_us <= wall_us) {
    const auto next = slots_.begin();
    near_slot_ = next->first;
    const Slot slot = std::move(next->second);
    slots_.erase(next);
    packed_bytes_ -= slot.packed.size();
    Unpack(slot, [&](const Entry& entry) {
      entry.until_us <= wall_us ? take(entry.range) : AddNear(entry);
    });
  }
  return count_ < before;
}

void ScheduledSet::DropBefore(Offset offset) {
  const auto cut = [&](ReadyRange* range) {
    const Offset begin = std::min(std::max(range->offsets.begin, offset), range->offsets.end);
    count_ -= begin - range->offsets.begin;
    range->offsets.begin = begin;
    return !range->offsets.empty();
  };
  for (auto it = near_.begin(); it != near_.end();)
    it = cut(&it->second) ? std::next(it) : near_.erase(it);
  Rebuild({Offset(), offset}, [&](const Entry& entry) {
    Entry left = entry;
    if (cut(&left.range)) Put(left);
  });
}

void ScheduledSet::Rebuild(OffsetRange range, const std::function<void(const Entry&)>& fn) {
  std::vector<int64_t> touched;
  for (const auto& [number, slot] : slots_) {
    if (slot.lowest < range.end && range.begin < slot.highest) touched.push_back(number);
  }
  for (const int64_t number : touched) {
    const Slot slot = std::move(slots_[number]);
    slots_.erase(number);
    packed_bytes_ -= slot.packed.size();
    Unpack(slot, fn);
  }
}

void ScheduledSet::Take(absl::Span<const OffsetRange> wanted, std::vector<ReadyRange>* taken) {
  if (wanted.empty() || empty()) return;
  count_ -= TakeWaiting(&near_, wanted, taken);
  Rebuild({wanted.front().begin, wanted.back().end}, [&](const Entry& entry) {
    const auto take = [&](const ReadyRange& part) {
      count_ -= part.offsets.size();
      taken->push_back(part);
    };
    const auto keep = [&](const ReadyRange& part) { Put({part, entry.until_us}); };
    if (!Split(entry.range, wanted, take, keep)) Put(entry);
  });
}

int64_t ScheduledSet::next_due_us() const {
  const int64_t near = near_.empty() ? kNever : near_.begin()->first;
  return slots_.empty() ? near : std::min(near, slots_.begin()->second.first_us);
}

size_t ScheduledSet::memory_bytes() const {
  return near_.size() * kEntryBytes + slots_.size() * (sizeof(Slot) + kEntryBytes) + packed_bytes_;
}

}  // namespace sluice
