// The payloads of the journal's small records and the values of the view, as rows of varints and strings
// (docs/format.md).
//
//   PayloadWriter out;  out.Put(7);  out.PutBytes(config);
//   PayloadReader in(bytes);  uint64_t n = in.Next();  std::string_view config = in.NextBytes();  if (!in.ok()) ...
//
// Thread rule: value types and pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/message/wire.h"
#include "core/storage/backend.h"

namespace sluice {

class PayloadWriter {
 public:
  void Put(uint64_t value) {
    char buffer[kMaxVarintBytes];
    out_.append(buffer, WriteVarint(buffer, value));
  }
  void PutBytes(std::string_view bytes) {
    Put(bytes.size());
    out_.append(bytes);
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

class PayloadReader {
 public:
  explicit PayloadReader(std::string_view in) : at_(in.data()), end_(in.data() + in.size()) {}

  // 0 and "" past the end, and then ok() is false.
  uint64_t Next() {
    uint64_t value = 0;
    ok_ = ok_ && ReadVarint(&at_, end_, &value);
    return ok_ ? value : 0;
  }
  std::string_view NextBytes() {
    const uint64_t size = Next();
    ok_ = ok_ && size <= static_cast<uint64_t>(end_ - at_);
    if (!ok_) return {};
    at_ += size;
    return {at_ - size, static_cast<size_t>(size)};
  }
  bool ok() const { return ok_; }

 private:
  const char* at_;
  const char* end_;
  bool ok_ = true;
};

// Messages of a range that were delivered more than once.
struct Redelivery {
  OffsetRange range;
  uint32_t attempts = 0;
};

// What changed in a cursor between two commits.
struct CursorDelta {
  std::vector<OffsetRange> acked;
  Offset delivered_end{0};
  std::vector<Redelivery> redelivered;
};

// Applies a change; the same one twice is as good as once.
void Apply(const CursorDelta& delta, CursorState* state);

std::string Encode(const CursorDelta& delta);
std::string Encode(const CursorState& state);
std::optional<CursorDelta> DecodeCursorDelta(std::string_view bytes);
std::optional<CursorState> DecodeCursorState(std::string_view bytes);

}  // namespace sluice
