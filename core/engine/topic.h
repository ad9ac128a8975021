// One topic: takes batches in, hands them to its subscriptions, lets go of what nobody needs.
//
//   topic->Publish(batch, [](absl::StatusOr<Published> published) {...});
//
// Thread rule: every public member may be called from any thread. Lock order: docs/adr/0005.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "core/engine/config.h"
#include "core/message/batch.h"
#include "core/storage/backend.h"

namespace sluice {

// Where a batch was stored: ids first to first + count - 1.
struct Published {
  Offset first;
  uint32_t count = 0;
};

struct TopicStats {
  LogExtent extent;
  uint64_t published_messages = 0;
  uint64_t published_bytes = 0;
  int32_t subscriptions = 0;
};

class Topic : public std::enable_shared_from_this<Topic> {
 public:
  using PublishDone = std::function<void(absl::StatusOr<Published>)>;

  // The callback comes when the batch is durable, in the order of the calls. Errors: NOT_FOUND once deleted,
  // UNAVAILABLE, RESOURCE_EXHAUSTED; nothing is stored then.
  void Publish(Ref<Batch> batch, PublishDone done);

  TopicConfig config() const;
  TopicStats stats() const;
};

}  // namespace sluice
