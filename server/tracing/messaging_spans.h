// The spans of the server, after OpenTelemetry's semantic conventions for messaging
// (docs/operations.md has the list):
//
//   publish    one for a publish request: child of the call's context, or of the first sampled
//   message's
//     store    from handing the batch to the store until it is durable
//   deliver    one for each write to a consumer that has sampled messages: child of the first of
//   them, linked to all of them
//     ack      one for an acknowledgement of what was so delivered; nack the same
//
// A request that belongs to no trace begins one with the tracer's probability. Nothing is done for
// others, and nothing at all without a tracer: every function here takes null for it and gives null
// for a span.
//
// Thread rule: any thread.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/subscription.h"
#include "grpcpp/server_context.h"
#include "server/tracing/tracer.h"

namespace sluice::server {

// The context that a call came with, where anybody wants to know.
inline std::optional<SpanContext> CallContext(const Tracer* tracer,
                                              const grpc::CallbackServerContext& call) {
  return tracer == nullptr ? std::nullopt : ContextOf(call);
}

// A context of a unary call is this request's, so it comes before those of its messages; that of a
// stream is older than most of what is sent on it, and comes after them.
enum class CallKind { kUnary, kStream };

namespace tracing_internal {
std::shared_ptr<ActiveSpan> BeginPublish(Tracer& tracer, std::string_view topic,
                                         const std::vector<std::string_view>& messages,
                                         Batch* batch, const std::optional<SpanContext>& call,
                                         CallKind kind);
std::shared_ptr<ActiveSpan> BeginStore(Tracer& tracer, const Batch& batch, const Topic& topic);
std::shared_ptr<ActiveSpan> BeginDeliver(Tracer& tracer, const Subscription& subscription,
                                         const std::vector<Delivery>& deliveries,
                                         const std::optional<SpanContext>& call);
std::shared_ptr<ActiveSpan> BeginSettle(Tracer& tracer, std::string_view operation,
                                        const Subscription& subscription,
                                        const std::vector<LeaseRange>& leases,
                                        const std::optional<SpanContext>& call);
}  // namespace tracing_internal

// `topic` is a topic's full name, `messages` are those of the request, whatever they are. `batch`
// is made of them, and learns of the span; null where they are refused.
inline std::shared_ptr<ActiveSpan> BeginPublish(Tracer* tracer, std::string_view topic,
                                                const std::vector<std::string_view>& messages,
                                                Batch* batch,
                                                const std::optional<SpanContext>& call,
                                                CallKind kind) {
  return tracer == nullptr
             ? nullptr
             : tracing_internal::BeginPublish(*tracer, topic, messages, batch, call, kind);
}
void EndPublish(const std::shared_ptr<ActiveSpan>& span,
                const absl::StatusOr<Published>& published);
// What ends the span and then calls `done`.
Topic::PublishDone EndPublishBefore(Topic::PublishDone done,
                                    const std::shared_ptr<ActiveSpan>& span);

inline std::shared_ptr<ActiveSpan> BeginStore(Tracer* tracer, const Batch& batch,
                                              const Topic& topic) {
  return tracer == nullptr || batch.published_by() == nullptr
             ? nullptr
             : tracing_internal::BeginStore(*tracer, batch, topic);
}
void EndStore(const std::shared_ptr<ActiveSpan>& span, const absl::StatusOr<Published>& published);

// Before the deliveries are written; an acknowledgement may be faster than the end of the write.
inline std::shared_ptr<ActiveSpan> BeginDeliver(
    Tracer* tracer, const std::shared_ptr<Subscription>& subscription,
    const std::vector<Delivery>& deliveries,
    const std::optional<SpanContext>& call = std::nullopt) {
  return tracer == nullptr || deliveries.empty()
             ? nullptr
             : tracing_internal::BeginDeliver(*tracer, *subscription, deliveries, call);
}

// `operation` is a literal, "ack" or "nack". Before they are settled.
inline std::shared_ptr<ActiveSpan> BeginSettle(
    Tracer* tracer, std::string_view operation, const Subscription& subscription,
    const std::vector<LeaseRange>& leases, const std::optional<SpanContext>& call = std::nullopt) {
  return tracer == nullptr
             ? nullptr
             : tracing_internal::BeginSettle(*tracer, operation, subscription, leases, call);
}

inline void EndSpan(const std::shared_ptr<ActiveSpan>& span, const absl::Status& status) {
  if (span != nullptr) span->End(status);
}
// `settled` messages; without `all` some of those asked for were refused.
void EndSettle(const std::shared_ptr<ActiveSpan>& span, const absl::Status& status,
               uint64_t settled, bool all = true);
void EndSettle(const std::shared_ptr<ActiveSpan>& span, const AckOutcome& outcome);

}  // namespace sluice::server
