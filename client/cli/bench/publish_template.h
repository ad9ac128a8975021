// A PublishRequest of either API in serialized form: messages are the same field in both. It is
// built once; what differs from one batch to the next (the stamps and the numbers of topic and
// ordering keys) is written into its place, since all messages are of one size. A load that shares
// the cores with the server must not spend them on serializing.
//
//   PublishTemplate request(options, publisher, "");
//   grpc::Slice slice = request.Copy();
//   request.Fill(batch, &slice);                           // as often as it is used
//
// Thread rule: constant after construction; a slice belongs to whoever fills it.
#pragma once

#include <string>

#include "client/cli/bench/load.h"
#include "grpcpp/support/slice.h"

namespace sluice::cli {

class PublishTemplate {
 public:
  // `front` are the fields before the messages; of several topics it ends with the name of the
  // first one. Keys are "key-P-K" with as many digits for all K.
  PublishTemplate(const LoadOptions& options, size_t publisher, std::string front);

  grpc::Slice Copy() const { return grpc::Slice(bytes_); }
  // REQUIRES: `slice` is a Copy, and gRPC does not read it at the moment.
  void Fill(const Batch& batch, grpc::Slice* slice) const;

 private:
  const uint64_t keys_;
  const size_t key_digits_;
  const size_t topics_;
  std::string bytes_;
  // Of the first message's payload, and of the digits of its key.
  size_t payload_at_ = 0;
  size_t digits_at_ = 0;
  // Of the topic's name, where there are several.
  size_t topic_digits_at_ = 0;
  // From one message to the next.
  size_t stride_ = 0;
};

}  // namespace sluice::cli
