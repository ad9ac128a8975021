#include "server/tracing/messaging_spans.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "core/message/limits.h"

namespace sluice::server {
namespace {

// The span `operation destination` with what all of them say.
std::shared_ptr<ActiveSpan> Begin(Tracer& tracer, SpanKind kind, std::string_view operation,
                                  std::string_view type, std::string_view destination,
                                  std::optional<SpanContext> parent, bool remote) {
  auto span = tracer.Begin(absl::StrCat(ToAbsl(operation), " ", ToAbsl(destination)), kind,
                           std::move(parent), remote);
  span->data().Set("messaging.system", "sluice");
  span->data().Set("messaging.operation.name", std::string(operation));
  span->data().Set("messaging.operation.type", std::string(type));
  return span;
}

// A subscription's, which is a destination of its own beside its topic.
std::shared_ptr<ActiveSpan> BeginAt(Tracer& tracer, SpanKind kind, std::string_view operation,
                                    std::string_view type, const Subscription& subscription,
                                    std::optional<SpanContext> parent, bool remote) {
  const SubscriptionConfig config = subscription.config();
  auto span = Begin(tracer, kind, operation, type, config.name.full(), std::move(parent), remote);
  if (config.topic) span->data().Set("messaging.destination.name", config.topic->full());
  span->data().Set("messaging.destination.subscription.name", config.name.full());
  return span;
}

// Links go without their tracestate: up to 512 bytes from a stranger, 128 times a span.
void SetLinks(FoundContexts found, Span* span) {
  span->links = std::move(found.sampled);
  for (SpanContext& link : span->links) link.tracestate = std::string();
  span->links_left_out = found.left_out;
}

// The messages' contexts, and which of them and the call's is the parent.
struct Origin {
  FoundContexts found;
  // Absent when there is none, or none that is sampled.
  std::optional<SpanContext> parent;

  bool belongs_to_a_trace() const { return found.any; }
};

Origin OriginOf(const std::vector<std::string_view>& messages, const Batch* batch,
                const std::optional<SpanContext>& call, CallKind kind) {
  Origin origin;
  if (batch == nullptr || batch->contexts() != Batch::Contexts::kNone) {
    // What is over the limit is refused.
    const size_t most = std::min(messages.size(), kMaxMessagesPerBatch);
    for (size_t i = 0; i < most; ++i) origin.found.AddFrom(messages[i]);
  }
  const bool by_call = call && call->sampled();
  const bool by_message = !origin.found.sampled.empty();
  if (by_call && (kind == CallKind::kUnary || !origin.found.any)) {
    origin.parent = call;
  } else if (by_message) {
    origin.parent = origin.found.sampled.front();
  }
  origin.found.any |= call.has_value();
  return origin;
}

// The contexts of what is delivered. Messages without one are known by the span that published
// them.
FoundContexts ContextsOf(const std::vector<Delivery>& deliveries, std::vector<LeaseRange>* leases) {
  FoundContexts found;
  for (const Delivery& delivery : deliveries) {
    const Batch& batch = *delivery.batch;
    bool traced = false;
    if (batch.contexts() != Batch::Contexts::kNone) {
      for (uint32_t i = delivery.begin; i < delivery.end; ++i) {
        traced |= found.AddFrom(batch.message(i));
      }
    }
    if (!traced && batch.published_by() != nullptr) {
      traced = true;
      found.Add(*batch.published_by());
    }
    if (traced) leases->push_back(delivery.leases());
  }
  return found;
}

// Whether this is not the publisher's span, but ours.
bool PublishedHere(const std::vector<Delivery>& deliveries, const SpanContext& span) {
  return std::any_of(deliveries.begin(), deliveries.end(), [&](const Delivery& delivery) {
    const SpanContext* const publish = delivery.batch->published_by();
    return publish != nullptr && publish->SameAs(span);
  });
}

}  // namespace

namespace tracing_internal {

std::shared_ptr<ActiveSpan> BeginPublish(Tracer& tracer, std::string_view topic,
                                         const std::vector<std::string_view>& messages,
                                         Batch* batch, const std::optional<SpanContext>& call,
                                         CallKind kind) {
  Origin origin = OriginOf(messages, batch, call, kind);
  if (batch != nullptr && origin.found.sampled.empty()) batch->set_contexts(Batch::Contexts::kNone);
  std::optional<std::array<uint8_t, 16>> new_trace;
  if (!origin.parent && !origin.belongs_to_a_trace()) new_trace = tracer.NewTrace();
  if (!origin.parent && !new_trace) return nullptr;
  auto publish =
      Begin(tracer, SpanKind::kServer, "publish", "send", topic, origin.parent, /*remote=*/true);
  Span& span = publish->data();
  if (new_trace) span.context.trace_id = *new_trace;
  span.Set("messaging.destination.name", std::string(topic));
  if (messages.size() != 1)
    span.Set("messaging.batch.message_count", static_cast<int64_t>(messages.size()));
  // Nobody links to his own parent.
  if (origin.parent) {
    std::erase_if(origin.found.sampled,
                  [&](const SpanContext& context) { return context.SameAs(*origin.parent); });
  }
  SetLinks(std::move(origin.found), &span);
  if (batch != nullptr) batch->set_published_by(publish->context());
  return publish;
}

std::shared_ptr<ActiveSpan> BeginStore(Tracer& tracer, const Batch& batch, const Topic& topic) {
  const std::string name = topic.config().name.full();
  auto span = Begin(tracer, SpanKind::kInternal, "store", "store", name, *batch.published_by(),
                    /*remote=*/false);
  span->data().Set("messaging.destination.name", name);
  if (batch.count() != 1) span->data().Set("messaging.batch.message_count", int64_t{batch.count()});
  return span;
}

std::shared_ptr<ActiveSpan> BeginDeliver(Tracer& tracer, const Subscription& subscription,
                                         const std::vector<Delivery>& deliveries,
                                         const std::optional<SpanContext>& call) {
  std::vector<LeaseRange> leases;
  FoundContexts found = ContextsOf(deliveries, &leases);
  const bool by_call = call && call->sampled();
  if (found.sampled.empty() && !by_call) return nullptr;
  auto span = BeginAt(tracer, SpanKind::kProducer, "deliver", "receive", subscription,
                      by_call ? call : found.sampled.front(),
                      by_call || !PublishedHere(deliveries, found.sampled.front()));
  int64_t count = 0;
  for (const Delivery& delivery : deliveries) count += delivery.count();
  if (count == 1) {
    const Delivery& only = deliveries.front();
    span->data().Set("messaging.message.id",
                     absl::StrCat((only.batch->first() + only.begin).value()));
  } else {
    span->data().Set("messaging.batch.message_count", count);
  }
  SetLinks(std::move(found), &span->data());
  for (const LeaseRange& range : leases)
    tracer.delivered().Add(subscription.id(), range, span->context());
  return span;
}

std::shared_ptr<ActiveSpan> BeginSettle(Tracer& tracer, std::string_view operation,
                                        const Subscription& subscription,
                                        const std::vector<LeaseRange>& leases,
                                        const std::optional<SpanContext>& call) {
  FoundContexts found = tracer.delivered().Find(subscription.id(), leases);
  const bool by_call = call && call->sampled();
  if (found.sampled.empty() && !by_call) return nullptr;
  auto span = BeginAt(tracer, SpanKind::kServer, operation, "settle", subscription,
                      by_call ? call : found.sampled.front(), /*remote=*/by_call);
  SetLinks(std::move(found), &span->data());
  return span;
}

}  // namespace tracing_internal

void EndPublish(const std::shared_ptr<ActiveSpan>& span,
                const absl::StatusOr<Published>& published) {
  if (span == nullptr) return;
  if (published.ok() && published->count == 1)
    span->data().Set("messaging.message.id", absl::StrCat(published->first.value()));
  span->End(published.status());
}

Topic::PublishDone EndPublishBefore(Topic::PublishDone done,
                                    const std::shared_ptr<ActiveSpan>& span) {
  if (span == nullptr) return done;
  return [span, done = std::move(done)](absl::StatusOr<Published> published) {
    EndPublish(span, published);
    done(std::move(published));
  };
}

void EndStore(const std::shared_ptr<ActiveSpan>& span, const absl::StatusOr<Published>& published) {
  if (span == nullptr) return;
  if (published.ok()) {
    // It was stored before: there is nothing to tell of.
    if (published->durable_us == 0) return;
    span->data().end_ns = published->durable_us * 1000;
  }
  span->End(published.status());
}

void EndSettle(const std::shared_ptr<ActiveSpan>& span, const absl::Status& status,
               uint64_t settled, bool all) {
  if (span == nullptr) return;
  span->data().Set("messaging.batch.message_count", static_cast<int64_t>(settled));
  span->End(status.ok() && !all ? absl::FailedPreconditionError("some of them could not be settled")
                                : status);
}

void EndSettle(const std::shared_ptr<ActiveSpan>& span, const AckOutcome& outcome) {
  if (span == nullptr) return;
  uint64_t settled = 0;
  for (const LeaseRange& range : outcome.confirmed) settled += range.last - range.first + 1;
  EndSettle(span, outcome.status, settled, outcome.refused.empty() && outcome.too_early.empty());
}

}  // namespace sluice::server
