// The checks on a published message, all in one scan of it.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/message/message_view.h"
#include "core/message/outgoing_message.h"

namespace sluice {

enum class WireForm {
  // May be stored as it is.
  kStorable,
  // Holds what the server sets, does not know or has not checked; RewriteMessage gives what may be
  // stored.
  kNeedsRewrite,
};

// What a batch must know of its messages.
struct MessageTraits {
  // As MessageView::plain().
  bool plain = true;
  // Whether an attribute looks like a trace context, W3C's or Google's, by its name.
  bool traced = false;
  int64_t deliver_at_us = kDeliverAtOnce;
};

// Checks a serialized message against every limit of limits.h. `index` is its place in the request,
// for the error. `traits` are those of the message when it is accepted.
absl::StatusOr<WireForm> CheckMessage(std::string_view wire, size_t index, MessageTraits* traits);
// The same for one that is not in wire form yet.
absl::Status CheckMessage(const OutgoingMessage& message, size_t index, MessageTraits* traits);

// Appends to `out` the message with its known, client-owned fields only. REQUIRES: CheckMessage
// accepted it.
void RewriteMessage(std::string_view wire, std::string* out);

// The error for a request of `bytes`.
absl::Status RequestTooLarge(size_t bytes);

}  // namespace sluice
