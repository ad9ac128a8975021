#include <algorithm>

#include "core/storage/backend.h"

namespace sluice {

void CursorState::Ack(OffsetRange range) {
  acked.Add(range);
  if (!failures.empty())
    failures.erase(failures.lower_bound(range.begin), failures.lower_bound(range.end));
  leases.Erase(range);
}

void CursorState::Fail(OffsetRange range, uint32_t count) {
  if (count == 0) return;
  leases.Erase(range);
  for (Offset at = acked.NextUnacked(range.begin); at < range.end; at = acked.NextUnacked(at + 1)) {
    uint32_t& known = failures[at];
    known = std::max(known, count);
  }
}

bool CursorState::Lease(const SavedLease& lease) {
  if (lease.over()) return leases.Erase(lease.offsets);
  bool changed = false;
  for (Offset at = acked.NextUnacked(lease.offsets.begin); at < lease.offsets.end;
       at = acked.NextUnacked(at)) {
    const OffsetRange part{at, acked.UnackedEnd(at, lease.offsets.end)};
    leases.Put(lease.Part(part));
    changed = true;
    at = part.end;
  }
  return changed;
}

}  // namespace sluice
