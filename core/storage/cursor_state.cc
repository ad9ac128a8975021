#include "core/storage/backend.h"

namespace sluice {

void CursorState::NoteAttempts(OffsetRange range, uint32_t count) {
  for (Offset offset = range.begin; offset < range.end; ++offset) {
    if (acked.Contains(offset)) continue;
    auto [it, added] = attempts.try_emplace(offset, count);
    if (!added && it->second < count) it->second = count;
    // What has no entry was delivered once.
    if (it->second == 1) attempts.erase(it);
  }
}

}  // namespace sluice
