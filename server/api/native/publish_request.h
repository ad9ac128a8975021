// What both ways to publish, the stream and the single call, do with a request: make a batch of it,
// and say which messages failed.
//
// Thread rule: pure functions.
#pragma once

#include <vector>

#include "core/metrics/metrics.h"
#include "server/api/native/wire.h"

namespace sluice::server {

// The batch of a request; null when it is in partial mode and none of its messages may be stored.
// builder->refusals() says which may not.
absl::StatusOr<Ref<Batch>> BuildBatch(const PublishScan& scan, BatchBuilder* builder);

// `failures` of an answer, each counted by its reason.
void SetFailures(const std::vector<BatchBuilder::Refusal>& refusals, EngineMetrics& metrics,
                 google::protobuf::RepeatedPtrField<v1::MessageFailure>* failures);

}  // namespace sluice::server
