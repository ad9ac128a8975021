// Who receives a subscription's messages: a stream session, or an embedding program's handler.
//
// Thread rule: the engine calls Deliver for one consumer one call at a time, in delivery order,
// never holding a lock; Ended may come at the same time from another thread. Neither may block.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "core/base/named_type.h"
#include "core/message/batch.h"
#include "core/storage/ack_set.h"

namespace sluice {

// Leases `first` to `last`, both included.
struct LeaseRange {
  LeaseId first;
  LeaseId last;
};

// Messages [begin, end) of a batch under consecutive leases; `attempt` is 1 the first time.
struct Delivery {
  Ref<Batch> batch;
  uint32_t begin = 0;
  uint32_t end = 0;
  LeaseId first_lease;
  uint32_t attempt = 1;

  uint32_t count() const { return end - begin; }
  OffsetRange offsets() const { return {batch->first() + begin, batch->first() + end}; }
  LeaseRange leases() const { return {first_lease, first_lease + (count() - 1)}; }
};

class Consumer {
 public:
  virtual ~Consumer() = default;

  // The vector may be taken.
  virtual void Deliver(std::vector<Delivery>& deliveries) = 0;

  // The engine has nothing more for this consumer: the subscription is gone (NOT_FOUND), all that
  // is left for it is damaged on the disk (DATA_LOSS; it holds nothing then), the engine shuts down
  // (UNAVAILABLE). Its leases are over.
  virtual void Ended(absl::Status why) = 0;
};

}  // namespace sluice
