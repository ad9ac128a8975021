// A span's name in the world, as W3C's Trace Context has it: what is carried from program to
// program so that their spans meet in one trace. server/tracing reads and makes them; a batch may
// remember which span published it.
//
// Thread rule: a value type.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace sluice {

struct SpanContext {
  static constexpr uint8_t kSampledFlag = 1;

  // Neither is all zeros.
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  // W3C's trace flags.
  uint8_t flags = 0;
  // The header of that name, checked; empty when there was none.
  std::string tracestate;

  bool sampled() const { return (flags & kSampledFlag) != 0; }
  // The same span.
  bool SameAs(const SpanContext& other) const {
    return trace_id == other.trace_id && span_id == other.span_id;
  }
};

}  // namespace sluice
