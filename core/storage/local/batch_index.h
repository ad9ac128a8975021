// Where the batches of a topic are in the journal.
//
// Thread rule: value types.
#pragma once

#include <cstdint>

#include "core/base/named_type.h"
#include "core/storage/local/journal/journal.h"

namespace sluice {

struct BatchLocation {
  Offset first;
  uint32_t count = 0;
  // Of the record's payload; a damaged batch has none.
  uint32_t length = 0;
  JournalPosition at;
  int64_t publish_time_us = 0;

  Offset end() const { return first + count; }
  // The record could not be read: its messages are lost.
  bool damaged() const { return length == 0; }
};

// Batches of one topic in one segment, neighbours in offset order, together: what trimming and
// deletion count in.
struct Span {
  Offset first;
  Offset end;
  uint64_t segment = 0;
  // Of the batch records.
  uint64_t bytes = 0;
};

}  // namespace sluice
