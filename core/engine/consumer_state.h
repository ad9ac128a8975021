// What a subscription knows of a consumer that is attached to it.
//
// Thread rule: a plain object; the subscription locks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/engine/consumer.h"
#include "core/engine/delivery_breaker.h"
#include "core/engine/lease_table.h"

namespace sluice {

struct ConsumerState {
  ConsumerId id;
  std::shared_ptr<Consumer> consumer;
  std::string client_id;
  int64_t message_credit = 0;
  int64_t byte_credit = 0;
  bool counts_bytes = true;
  absl::Duration ack_deadline;
  bool leases_outlive_it = false;
  bool takes_up_leases = false;
  bool takes_one_delivery = false;
  bool waits_without_topic = false;
  bool pushes = false;
  // Whoever pushes does not know any more what it pushed.
  bool leases_survive() const { return takes_up_leases || (leases_outlive_it && !pushes); }
  // What it may hold more; bytes below 0 after a message larger than what was left.
  bool limited = false;
  int64_t messages_left = 0;
  int64_t bytes_left = 0;
  // When it last had credit; what it has now does not count.
  Instant had_credit;
  // For the breaker; null while it failed nothing.
  std::unique_ptr<DeliveryBreaker::Failures> failures = nullptr;

  int64_t message_room() const {
    return limited ? std::min(message_credit, messages_left) : message_credit;
  }
  int64_t byte_room() const {
    const int64_t credit = counts_bytes ? byte_credit : std::numeric_limits<int64_t>::max();
    return limited ? std::min(credit, bytes_left) : credit;
  }
  bool has_credit() const { return message_room() > 0 && byte_room() > 0; }
  void Use(uint32_t messages, uint32_t bytes) {
    message_credit -= messages;
    if (counts_bytes) byte_credit -= bytes;
    if (!limited) return;
    messages_left -= messages;
    bytes_left -= bytes;
  }
};

}  // namespace sluice
