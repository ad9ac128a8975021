// Acknowledgements that the server has yet to confirm, with exactly-once delivery.
//
//   confirmations.Expect(messages);                                      // acknowledged
//   for (const Confirmation& one : confirmations.Settle(response.ack_results())) ...
//   for (const Confirmation& one : confirmations.GiveUp()) ...           // the stream ended
//
// Bounded by what the server leaves unanswered before it reads on.
//
// Thread rule: a plain container; the subscriber locks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "client/cpp/received.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {

// A delivery as its stream knows it, and the message that it is of.
struct HeldId {
  uint64_t delivery_id = 0;
  uint64_t message_id = 0;
};

struct Confirmation {
  uint64_t message_id = 0;
  absl::Status status;
};

class Confirmations {
 public:
  void Expect(std::span<const ReceivedMessage> messages) {
    for (const ReceivedMessage& message : messages) waiting_[message.delivery_id] = message.id;
  }
  // What these answers are about. Those that are `too_early` are to be acknowledged again, and wait
  // on.
  std::vector<Confirmation> Settle(std::span<const v1::AckResult> results,
                                   std::vector<uint64_t>* too_early);
  // Nobody will answer any more.
  std::vector<Confirmation> GiveUp();

  static Confirmation Unknown(uint64_t message_id);

  void Expect(HeldId id) { waiting_[id.delivery_id] = id.message_id; }
  // Those without an answer.
  std::vector<HeldId> waiting() const;
  // They are not expected any more.
  std::vector<HeldId> TakeWaiting();

 private:
  // Message id by delivery id.
  absl::btree_map<uint64_t, uint64_t> waiting_;
};

}  // namespace sluice::client
