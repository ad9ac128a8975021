// What travels between a publisher and the server: one batch in the form in which it is sent, as
// often as need be, and the results that come back.
//
// Thread rule: a batch is guarded by its publisher's lock, except for `messages`, which is constant
// once it is sealed and is shared with gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/ref.h"
#include "grpcpp/support/byte_buffer.h"

namespace sluice::client {

// Gets the id of the first message it was given with, or why it was not stored.
using PublishDone = std::function<void(absl::StatusOr<uint64_t>)>;

struct PublishBatch : RefCounted<PublishBatch> {
  uint64_t id = 0;
  uint32_t count = 0;
  // Field 2 of the request, `count` times.
  std::string messages;
  // Those who wait, each with the place of its first message in the batch. Empty once the batch has
  // expired.
  struct Waiter {
    uint32_t index = 0;
    PublishDone done;
  };
  std::vector<Waiter> waiters;
  // When the batch goes even if it is not full, and when its waiters are told that it was not
  // stored in time.
  Instant due;
  Instant deadline;

  // Tells the waiters. REQUIRES: no lock is held.
  void Complete(const absl::StatusOr<uint64_t>& first_id) const;
};

// Who numbers the batches; nobody when the id is empty.
struct Producer {
  std::string id;
  uint64_t epoch = 0;
};

// The request with this batch. `topic` is for the first one of a stream, which also says who the
// producer is.
grpc::ByteBuffer EncodeRequest(const Ref<PublishBatch>& batch, std::string_view topic,
                               const Producer& producer);

struct BatchResult {
  uint64_t batch_id = 0;
  absl::StatusOr<uint64_t> first_id = 0;
};

// Nothing for bytes that are no PublishResponse.
std::optional<std::vector<BatchResult>> ParseResults(std::string_view response);

}  // namespace sluice::client
