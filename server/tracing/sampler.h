// Which traces are recorded that begin here: a share of them, told by the bits of their ids, so
// that every program with the same share decides alike (OpenTelemetry's TraceIdRatioBased: the last
// 8 bytes, without their lowest bit). Traces that began elsewhere come with their decision.
//
// Thread rule: constant after construction.
#pragma once

#include <array>
#include <cstdint>

namespace sluice::server {

class RatioSampler {
 public:
  // 0 to 1; what is outside counts as the nearer of them.
  explicit RatioSampler(double ratio)
      : bound_(ratio >= 1  ? kAll
               : ratio > 0 ? static_cast<uint64_t>(ratio * static_cast<double>(kAll))
                           : 0) {}

  bool Samples(const std::array<uint8_t, 16>& trace_id) const {
    uint64_t bits = 0;
    for (size_t i = 8; i < trace_id.size(); ++i) bits = bits << 8 | trace_id[i];
    return bits >> 1 < bound_;
  }

 private:
  static constexpr uint64_t kAll = uint64_t{1} << 63;

  const uint64_t bound_;
};

}  // namespace sluice::server
