#include <algorithm>

#include "core/storage/backend.h"

namespace sluice {

void CursorState::Ack(OffsetRange range) {
  acked.Add(range);
  if (!failures.empty()) failures.erase(failures.lower_bound(range.begin), failures.lower_bound(range.end));
}

void CursorState::Fail(OffsetRange range, uint32_t count) {
  if (count == 0) return;
  for (Offset at = acked.NextUnacked(range.begin); at < range.end; at = acked.NextUnacked(at + 1)) {
    uint32_t& known = failures[at];
    known = std::max(known, count);
  }
}

}  // namespace sluice
