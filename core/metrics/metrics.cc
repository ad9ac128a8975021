#include "core/metrics/metrics.h"

#include <algorithm>

namespace sluice {

void Histogram::Observe(double value, uint64_t times) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  cells_.Add(static_cast<uint32_t>(bucket), times);
  cells_.AddReal(sum_cell(), value * static_cast<double>(times));
}

std::vector<uint64_t> Histogram::counts() const {
  std::vector<uint64_t> counts(bounds_.size() + 1);
  for (uint32_t i = 0; i < counts.size(); ++i) counts[i] = cells_.Sum(i);
  return counts;
}

}  // namespace sluice
