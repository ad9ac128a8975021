#include "core/storage/producer_windows.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/message/wire.h"
#include "fmt/format.h"

namespace sluice {

absl::StatusOr<std::optional<OffsetRange>> ProducerWindows::Find(const ProducerTag& tag) const {
  auto found = windows_.find(tag.id);
  if (found == windows_.end() || found->second.epoch < tag.epoch) return std::nullopt;
  const Window& window = found->second;
  if (window.epoch > tag.epoch) {
    return Error(Reason::kProducerFenced,
                 fmt::format("producer {}: epoch {} is over, epoch {} has begun", tag.id, tag.epoch,
                             window.epoch),
                 {{"field", "producer_epoch"},
                  {"value", std::to_string(tag.epoch)},
                  {"limit", std::to_string(window.epoch)}});
  }
  if (tag.sequence < window.begin) {
    return Error(
        Reason::kSequenceTooOld,
        fmt::format("producer {}: sequence {} is older than what is remembered, which begins at {}",
                    tag.id, tag.sequence, window.begin),
        {{"field", "sequence"},
         {"value", std::to_string(tag.sequence)},
         {"limit", std::to_string(window.begin)}});
  }
  auto batch = window.batches.find(tag.sequence);
  if (batch == window.batches.end()) return std::nullopt;
  return batch->second;
}

void ProducerWindows::Add(const ProducerTag& tag, OffsetRange offsets) {
  if (windows_.size() >= kMaxProducers && !windows_.contains(tag.id)) {
    windows_.erase(std::min_element(
        windows_.begin(), windows_.end(),
        [](const auto& a, const auto& b) { return a.second.last() < b.second.last(); }));
  }
  Window& window = windows_[tag.id];
  if (tag.epoch < window.epoch) return;
  if (tag.epoch > window.epoch) window = Window{.epoch = tag.epoch, .begin = 0, .batches = {}};
  window.batches.insert_or_assign(tag.sequence, offsets);
  while (window.batches.size() > kMaxBatches) {
    window.begin = window.batches.begin()->first + 1;
    window.batches.erase(window.batches.begin());
  }
}

std::string ProducerWindows::Encode() const {
  VarintWriter out;
  out.Put(windows_.size());
  for (const auto& [id, window] : windows_) {
    out.PutBytes(id);
    out.Put(window.epoch);
    out.Put(window.begin);
    out.Put(window.batches.size());
    uint64_t previous = window.begin;
    for (const auto& [sequence, offsets] : window.batches) {
      out.Put(sequence - std::exchange(previous, sequence));
      out.Put(offsets.begin.value());
      out.Put(offsets.size());
    }
  }
  return out.Take();
}

std::optional<ProducerWindows> ProducerWindows::Decode(std::string_view bytes) {
  ProducerWindows windows;
  VarintReader in(bytes);
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) {
    Window& window = windows.windows_[std::string(in.NextBytes())];
    window.epoch = in.Next();
    window.begin = in.Next();
    uint64_t sequence = window.begin;
    for (uint64_t batches = in.Next(); batches > 0 && in.ok(); --batches) {
      sequence += in.Next();
      const Offset begin(in.Next());
      window.batches[sequence] = {begin, begin + in.Next()};
    }
  }
  if (!in.ok() || !in.AtEnd()) return std::nullopt;
  return windows;
}

}  // namespace sluice
