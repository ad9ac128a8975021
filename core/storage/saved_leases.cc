#include "core/storage/saved_leases.h"

#include <algorithm>
#include <iterator>

namespace sluice {

void SavedLeases::Put(const SavedLease& lease) {
  Erase(lease.offsets);
  runs_.emplace(lease.offsets.begin, lease);
}

bool SavedLeases::Erase(OffsetRange range) {
  if (runs_.empty() || range.empty()) return false;
  auto it = runs_.upper_bound(range.begin);
  if (it != runs_.begin() && std::prev(it)->second.offsets.end > range.begin) --it;
  bool erased = false;
  while (it != runs_.end() && it->first < range.end) {
    const SavedLease run = it->second;
    it = runs_.erase(it);
    erased = true;
    if (run.offsets.begin < range.begin)
      runs_.emplace(run.offsets.begin, run.Part({run.offsets.begin, range.begin}));
    if (run.offsets.end > range.end)
      it = runs_.emplace(range.end, run.Part({range.end, run.offsets.end})).first;
  }
  return erased;
}

}  // namespace sluice
