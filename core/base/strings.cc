#include "core/base/strings.h"

#include <cstdint>
#include <cstring>

namespace sluice {
namespace {

// The length of the well-formed sequence of two bytes or more at the front of `s`, 0 when there is
// none.
size_t SequenceLength(const unsigned char* s, size_t size) {
  struct Row {
    unsigned char lead_low, lead_high, second_low, second_high;
    size_t length;
  };
  static constexpr Row kTable37[] = {
      {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
      {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
      {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
  };
  for (const Row& row : kTable37) {
    if (s[0] < row.lead_low || s[0] > row.lead_high) continue;
    if (size < row.length || s[1] < row.second_low || s[1] > row.second_high) return 0;
    for (size_t i = 2; i < row.length; ++i) {
      if ((s[i] & 0xC0) != 0x80) return 0;
    }
    return row.length;
  }
  return 0;
}

// Whether these are 4 to 16 bytes of ASCII, as most keys and values are: the first and the last
// half of them, which overlap.
bool IsShortAscii(const unsigned char* s, size_t size) {
  constexpr uint64_t kHighBits = 0x8080808080808080u;
  uint64_t first = 0;
  uint64_t last = 0;
  if (size >= 8 && size <= 16) {
    std::memcpy(&first, s, 8);
    std::memcpy(&last, s + size - 8, 8);
  } else if (size >= 4 && size < 8) {
    std::memcpy(&first, s, 4);
    std::memcpy(&last, s + size - 4, 4);
  } else {
    return false;
  }
  return ((first | last) & kHighBits) == 0;
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  const auto* s = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = text.size();
  if (IsShortAscii(s, size)) return true;
  while (size > 0) {
    uint64_t eight = 0;
    if (size >= sizeof eight) {
      std::memcpy(&eight, s, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        s += sizeof eight;
        size -= sizeof eight;
        continue;
      }
    }
    const size_t length = s[0] < 0x80 ? 1 : SequenceLength(s, size);
    if (length == 0) return false;
    s += length;
    size -= length;
  }
  return true;
}

}  // namespace sluice
