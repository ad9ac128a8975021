// What is done with the ack ids of a request, unary or on a stream: they are read, joined to ranges
// of leases, and settled.
//
// Without exactly-once delivery an id that is well-formed never fails: a lease that is over is
// acknowledged late, as far as that still means something. With it, each id is confirmed or
// refused.
//
// Thread rule: any thread; callbacks as the engine's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/engine.h"
#include "core/message/span_context.h"
#include "grpcpp/support/status.h"
#include "server/api/google/ack_id.h"

namespace sluice::server {

class Tracer;

// What became of the ids of an exactly-once subscription. All of them are in one of the lists.
struct AckIdsOutcome {
  std::vector<std::string> confirmed;
  std::vector<std::string> invalid;
  // An earlier message of the key has to be acknowledged first.
  std::vector<std::string> unordered;
  // Not known to be durable: try again.
  std::vector<std::string> failed;

  bool all_confirmed() const { return invalid.empty() && unordered.empty() && failed.empty(); }
};

using AckIdsDone = std::function<void(absl::StatusOr<AckIdsOutcome>)>;

// How a request is traced: nothing of it without a tracer.
struct SettleTrace {
  Tracer* tracer = nullptr;
  // The context of a unary call.
  std::optional<SpanContext> call;
};

// INVALID_ARGUMENT for ids that were never ids of this subscription, unless it is an exactly-once
// one; nothing is settled then.
void AcknowledgeIds(Engine& engine, const std::shared_ptr<Subscription>& subscription,
                    const std::vector<std::string_view>& ack_ids, const SettleTrace& trace,
                    const AckIdsDone& done);

// `seconds` 0 gives messages back. The same for unary calls and for one stretch of a stream's
// request. REQUIRES: 0 <= seconds <= 600.
absl::StatusOr<AckIdsOutcome> ModifyDeadlineOfIds(Engine& engine,
                                                  const std::shared_ptr<Subscription>& subscription,
                                                  const std::vector<std::string_view>& ack_ids,
                                                  int32_t seconds, const SettleTrace& trace);

// The error of a unary call for what failed: the text, and an ErrorInfo with each id, as clients
// take it apart.
grpc::Status ExactlyOnceError(const AckIdsOutcome& outcome);

}  // namespace sluice::server
