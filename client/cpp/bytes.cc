#include "client/cpp/bytes.h"

#include <cstring>
#include <vector>

namespace sluice::client {
namespace {

std::string_view ViewOf(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

}  // namespace

ContiguousBytes::ContiguousBytes(const grpc::ByteBuffer& buffer) {
  // A short slice holds its bytes within itself, so the view is taken where the slice will stay.
  if (buffer.TrySingleSlice(&slice_).ok()) {
    view_ = ViewOf(slice_);
    return;
  }
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return;
  copy_ = std::make_unique_for_overwrite<char[]>(buffer.Length());
  char* out = copy_.get();
  for (const grpc::Slice& slice : slices) {
    std::memcpy(out, slice.begin(), slice.size());
    out += slice.size();
  }
  view_ = {copy_.get(), static_cast<size_t>(out - copy_.get())};
}

}  // namespace sluice::client
