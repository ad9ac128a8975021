// Batches for tests.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/message/batch.h"
#include "gtest/gtest.h"

namespace sluice {

// The batch with these payloads.
inline Ref<Batch> MakeBatch(const std::vector<std::string>& payloads) {
  BatchBuilder builder;
  for (const std::string& payload : payloads) {
    OutgoingMessage message;
    message.data = payload;
    EXPECT_TRUE(builder.Add(message).ok());
  }
  return *builder.Build();
}

// `count` messages of `bytes` of payload each, published at `seconds` after 1970. Different calls
// differ in `seed`.
inline Ref<Batch> MakeBatchOf(int count, size_t bytes, int64_t seconds = 1'700'000'000,
                              char seed = 'a') {
  std::vector<std::string> payloads;
  payloads.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) payloads.emplace_back(bytes, static_cast<char>(seed + i % 7));
  Ref<Batch> batch = MakeBatch(payloads);
  batch->set_publish_time(absl::FromUnixSeconds(seconds));
  return batch;
}

}  // namespace sluice
