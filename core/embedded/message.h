// A message as a handler gets it, read where it lies.
//
//   message.data();  message.FindAttribute("colour");  message.attempt();
//
// Thread rule: constant. Valid while the handler that was given it runs.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "core/message/batch.h"
#include "core/message/message_view.h"

namespace sluice::embedded {

class Message : public MessageView {
 public:
  Message(const Batch& batch, uint32_t index, uint32_t attempt)
      : MessageView(batch.message(index)),
        id_((batch.first() + index).value()),
        publish_time_(batch.publish_time()),
        attempt_(attempt) {}

  // Unique in its topic, growing in the order of storage.
  uint64_t id() const { return id_; }
  absl::Time publish_time() const { return publish_time_; }
  // 1 the first time.
  uint32_t attempt() const { return attempt_; }

 private:
  uint64_t id_;
  absl::Time publish_time_;
  uint32_t attempt_;
};

}  // namespace sluice::embedded
