// What a handler is called with: some messages of one response.
//
// Thread rule: a value type.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "client/cpp/received.h"
#include "client/cpp/settlements.h"

namespace sluice::client {

// Messages [begin, end) of a response, not all of which may be there any more.
struct Run {
  std::shared_ptr<const Received> received;
  size_t begin = 0;
  size_t end = 0;
  // Of the stream it came on.
  uint64_t stream_number = 0;

  size_t count() const { return end - begin; }
  Run TakeFront(size_t n) {
    Run front = *this;
    front.end = begin = begin + n;
    return front;
  }
  std::span<const ReceivedMessage> messages() const {
    return std::span(received->messages).subspan(begin, count());
  }
  DeliveryIds ids() const {
    return {messages().front().delivery_id, messages().back().delivery_id};
  }
};

}  // namespace sluice::client
