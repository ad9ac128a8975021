// A state snapshot: what the view knows of topics and subscriptions, as records of the journal, so
// that the journal from the snapshot's begin on, with the batches in front of it, is enough to make
// a view anew, whatever segments are deleted.
//
//   begin; for each topic its config, floor, next offset and producers, for each subscription its config and cursor; end
//
// Each record holds at its own place among the others, and replaying it is as good as not: a
// snapshot is written in pieces, between which others commit.
//
// Thread rule: a function, for whoever has maintenance's turn.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/storage/local/local_catalogue.h"

namespace sluice {

// Its size in bytes, when it is durable. Errors as the committer gives them; what was written of it
// then does no harm.
absl::StatusOr<uint64_t> WriteStateSnapshot(LogContext& context, LocalCatalogue& catalogue);

}  // namespace sluice
