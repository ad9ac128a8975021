// What a fuzz target says when a promise is broken: the program ends, libFuzzer keeps the input.
//
// Thread rule: none.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace sluice::fuzz {

inline void Check(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", promise);
  std::abort();
}

}  // namespace sluice::fuzz
