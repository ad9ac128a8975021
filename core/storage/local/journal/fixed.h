// Integers of a fixed size within a record's or a segment's header, in the machine's order:
// little-endian (docs/format.md).
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace sluice {

// REQUIRES: the bytes reach that far.
template <class T>
T GetFixed(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
void PutFixed(char* out, size_t at, T value) {
  std::memcpy(out + at, &value, sizeof value);
}

}  // namespace sluice
