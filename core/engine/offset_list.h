// Offsets in rising order, appended at the back and taken off the front: what waits behind the head
// of an ordering key. Kept as the distances between them, as varints: one or two bytes each, so
// that five million cost what a few hundred batches do.
//
// Thread rule: a plain container; the subscription locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/named_type.h"

namespace sluice {

class OffsetList {
 public:
  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }

  // REQUIRES: !empty().
  Offset front() const { return chunks_[first_].first; }
  Offset back() const { return chunks_.back().last; }

  // REQUIRES: empty(), or offset > back().
  void PushBack(Offset offset);
  // REQUIRES: !empty().
  void PopFront();
  // Takes one out of the middle. False when it is not there.
  bool Erase(Offset offset);

 private:
  static constexpr size_t kChunkOffsets = 512;

  // Consecutive offsets: the first as it is, each other one as its distance from the one before.
  struct Chunk {
    Offset first;
    Offset last;
    uint32_t count = 1;
    // Bytes of `distances` that belong to offsets taken off the front.
    uint32_t taken = 0;
    std::string distances;

    void Append(Offset offset);
    void PopFront();
  };

  void EraseChunk(size_t index);

  size_t count_ = 0;
  // Chunks before it are used up.
  size_t first_ = 0;
  std::vector<Chunk> chunks_;
};

}  // namespace sluice
