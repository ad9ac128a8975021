// How a batch is published, whichever API it came by: let in when the limits have room for it,
// stored, and told to the tracer.
//
// Thread rule: any thread.
#pragma once

#include <memory>
#include <utility>

#include "core/base/clock.h"
#include "core/message/batch.h"
#include "core/message/names.h"
#include "grpcpp/server_context.h"
#include "server/rpc/service_context.h"
#include "server/tracing/messaging_spans.h"

namespace sluice::server {

// Null for a request that is refused.
inline Batch* BatchOf(const absl::StatusOr<Ref<Batch>>& batch) {
  return batch.ok() ? batch->get() : nullptr;
}

// When the client stops to wait; Never() when it does not say.
Instant DeadlineOf(const grpc::CallbackServerContext& call, const Clock& clock);

// Publishes the batch when it is let in; done(status or where) exactly once. `publisher` says whose
// turn it is.
template <class F>
void AdmitAndPublish(ServiceContext& context, const Caller& caller, const TopicName& name,
                     std::shared_ptr<Topic> topic, uint64_t publisher, Ref<Batch> batch, F done) {
  Admission& admission = context.admission;
  const std::string_view identity =
      caller.identity == nullptr ? std::string_view() : caller.identity->principal;
  const Admission::Request request{.project = name.project_path(),
                                   .topic = name.full(),
                                   .publisher = publisher,
                                   .identity = identity,
                                   .messages = batch->count(),
                                   .bytes = batch->memory_bytes(),
                                   .deadline = batch->deadline()};
  admission.Admit(request, [&admission, tracer = context.tracer, topic = std::move(topic),
                            batch = std::move(batch), done = std::move(done)](
                               absl::StatusOr<Admission::Grant> grant) mutable {
    if (!grant.ok()) return done(grant.status());
    auto store = BeginStore(tracer, *batch, *topic);
    topic->Publish(std::move(batch),
                   [&admission, grant = *grant, done = std::move(done),
                    store = std::move(store)](absl::StatusOr<Published> published) mutable {
                     EndStore(store, published);
                     admission.Release(grant);
                     done(std::move(published));
                   });
  });
}

}  // namespace sluice::server
