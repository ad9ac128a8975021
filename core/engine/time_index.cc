#include "core/engine/time_index.h"

#include <algorithm>

namespace sluice {
namespace {
constexpr size_t kMaxSamples = 1024;
}  // namespace

void TimeIndex::Add(Offset offset, int64_t publish_time_us) {
  if (!samples_.empty() && publish_time_us < samples_.back().time_us + spacing_us_) return;
  samples_.push_back({offset, publish_time_us});
  if (samples_.size() <= kMaxSamples) return;
  spacing_us_ *= 2;
  std::vector<Sample> kept;
  for (const Sample& sample : samples_) {
    if (kept.empty() || sample.time_us >= kept.back().time_us + spacing_us_) kept.push_back(sample);
  }
  samples_.swap(kept);
}

std::optional<int64_t> TimeIndex::TimeOf(Offset offset) const {
  if (samples_.empty()) return std::nullopt;
  auto after = std::upper_bound(samples_.begin(), samples_.end(), offset,
                                [](Offset o, const Sample& sample) { return o < sample.offset; });
  return after == samples_.begin() ? after->time_us : std::prev(after)->time_us;
}

void TimeIndex::DropBefore(Offset before) {
  // The last one at or below it answers for it.
  const auto above =
      std::upper_bound(samples_.begin(), samples_.end(), before,
                       [](Offset o, const Sample& sample) { return o < sample.offset; });
  if (above - samples_.begin() > 1) samples_.erase(samples_.begin(), above - 1);
}

}  // namespace sluice
