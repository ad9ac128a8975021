// Bridges between std::string_view, which the house uses, and absl::string_view, which the system's
// Abseil keeps as a type of its own; and the check for UTF-8.
//
// Thread rule: pure functions.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace sluice {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

// Whether `s` is well-formed UTF-8 (Unicode 15, table 3-7: no overlong forms, no surrogates,
// nothing past U+10FFFF).
bool IsValidUtf8(std::string_view s);

}  // namespace sluice
