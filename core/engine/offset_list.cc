#include "core/engine/offset_list.h"

#include <algorithm>
#include <utility>

namespace sluice {

void OffsetList::Chunk::Append(Offset offset) {
  uint64_t distance = offset - last;
  for (; distance >= 0x80; distance >>= 7) distances.push_back(static_cast<char>(distance | 0x80));
  distances.push_back(static_cast<char>(distance));
  last = offset;
  ++count;
}

void OffsetList::Chunk::PopFront() {
  uint64_t distance = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(distances[taken++]);
    distance |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) break;
  }
  first += distance;
  --count;
}

void OffsetList::PushBack(Offset offset) {
  if (empty() || chunks_.back().count == kChunkOffsets) {
    if (!empty()) chunks_.back().distances.shrink_to_fit();
    chunks_.push_back({.first = offset, .last = offset, .distances = {}});
  } else {
    chunks_.back().Append(offset);
  }
  ++count_;
}

void OffsetList::PopFront() {
  --count_;
  if (chunks_[first_].count > 1) return chunks_[first_].PopFront();
  EraseChunk(first_);
}

bool OffsetList::Erase(Offset offset) {
  const auto begin = chunks_.begin() + static_cast<ptrdiff_t>(first_);
  const auto it = std::partition_point(begin, chunks_.end(),
                                       [&](const Chunk& chunk) { return chunk.last < offset; });
  if (it == chunks_.end() || offset < it->first) return false;
  std::vector<Offset> left;
  const uint32_t count = it->count;
  for (Chunk chunk = *it;; chunk.PopFront()) {
    if (chunk.first != offset) left.push_back(chunk.first);
    if (chunk.count == 1) break;
  }
  if (left.size() == count) return false;
  --count_;
  if (left.empty()) {
    EraseChunk(static_cast<size_t>(it - chunks_.begin()));
    return true;
  }
  Chunk rebuilt{.first = left.front(), .last = left.front(), .distances = {}};
  for (size_t i = 1; i < left.size(); ++i) rebuilt.Append(left[i]);
  *it = std::move(rebuilt);
  return true;
}

// What is used up at the front goes in large pieces, so that each chunk is moved once on average.
void OffsetList::EraseChunk(size_t index) {
  if (count_ == 0) {
    *this = OffsetList();
  } else if (index > first_) {
    chunks_.erase(chunks_.begin() + static_cast<ptrdiff_t>(index));
  } else {
    chunks_[first_++] = Chunk();
    if (first_ * 2 < chunks_.size()) return;
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
}

}  // namespace sluice
