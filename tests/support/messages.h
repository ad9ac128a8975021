// Messages for tests that need more than a payload, and deliveries told in short.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <vector>

#include "core/engine/consumer.h"
#include "core/message/batch.h"
#include "core/message/message_view.h"
#include "gtest/gtest.h"

namespace sluice {

inline Ref<Batch> MakeBatch(const std::vector<OutgoingMessage>& messages) {
  BatchBuilder builder;
  for (const OutgoingMessage& message : messages) EXPECT_EQ(builder.Add(message), absl::OkStatus());
  return *builder.Build();
}

// One message of some deliveries.
struct Received {
  std::string data;
  LeaseId lease;
  uint32_t attempt = 0;
};

inline std::vector<Received> Flatten(const std::vector<Delivery>& deliveries) {
  std::vector<Received> all;
  for (const Delivery& delivery : deliveries) {
    for (uint32_t i = delivery.begin; i < delivery.end; ++i) {
      all.push_back({std::string(MessageView(delivery.batch->message(i)).data()),
                     delivery.first_lease + (i - delivery.begin), delivery.attempt});
    }
  }
  return all;
}

// "a1 b1": payloads with their attempts.
inline std::string Told(const std::vector<Received>& received) {
  std::string told;
  for (const Received& one : received)
    told += (told.empty() ? "" : " ") + one.data + std::to_string(one.attempt);
  return told;
}

}  // namespace sluice
