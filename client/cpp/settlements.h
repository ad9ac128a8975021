// What a subscriber has decided and not yet told the server: delivery ids acknowledged or to be
// delivered again, as ranges.
//
//   settlements.Ack({7, 9});  settlements.Ack({10, 10});  settlements.Nack({12, 12}, absl::Seconds(1));
//   settlements.MoveTo(&request);                              // acks 7-10, nack 12
//
// A range may span ids that the stream does not hold; the server passes over those.
//
// Thread rule: guarded by the owner's lock.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {

// Both ends included.
struct DeliveryIds {
  uint64_t first = 0;
  uint64_t last = 0;

  // Whether `next` goes on where these end; then it is made part of them.
  bool Join(DeliveryIds next) {
    if (next.first != last + 1) return false;
    last = next.last;
    return true;
  }
};

class Settlements {
 public:
  void Ack(DeliveryIds ids);
  // `delay` is brought within the server's limits.
  void Nack(DeliveryIds ids, absl::Duration delay);

  bool empty() const { return acks_.empty() && nacks_.empty(); }
  void Clear();
  // Adds them to `request` and forgets them.
  void MoveTo(v1::SubscribeRequest* request);

 private:
  struct Delayed {
    DeliveryIds ids;
    absl::Duration delay;
  };
  std::vector<DeliveryIds> acks_;
  std::vector<Delayed> nacks_;
};

}  // namespace sluice::client
