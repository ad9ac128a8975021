// The bytes of a received buffer in one piece: where they lie when gRPC has them in one, else a
// copy.
//
// Thread rule: constant after construction.
#pragma once

#include <memory>
#include <string_view>

#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace sluice::client {

class ContiguousBytes {
 public:
  ContiguousBytes(const ContiguousBytes&) = delete;
  ContiguousBytes& operator=(const ContiguousBytes&) = delete;
  explicit ContiguousBytes(const grpc::ByteBuffer& buffer);

  std::string_view view() const { return view_; }

 private:
  grpc::Slice slice_;
  std::unique_ptr<char[]> copy_;
  std::string_view view_;
};

}  // namespace sluice::client
