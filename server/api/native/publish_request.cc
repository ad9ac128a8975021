#include "server/api/native/publish_request.h"

#include <string>

#include "core/base/error.h"
#include "fmt/format.h"
#include "server/rpc/errors.h"

namespace sluice::server {

absl::StatusOr<Ref<Batch>> BuildBatch(const PublishScan& scan, BatchBuilder* builder) {
  if (scan.mode > v1::PublishMode_MAX) {
    return Error(Reason::kUnsupported,
                 fmt::format("mode: {} is no mode that this server knows", scan.mode),
                 {{"field", "mode"}, {"value", std::to_string(scan.mode)}});
  }
  if (scan.timeout && *scan.timeout <= absl::ZeroDuration()) {
    const std::string timeout = absl::FormatDuration(*scan.timeout);
    return Error(Reason::kInvalidTimeout,
                 fmt::format("timeout: {}, but it must be more than 0", timeout),
                 {{"field", "timeout"}, {"value", timeout}, {"limit", "more than 0"}});
  }
  const bool partial = scan.mode == v1::PUBLISH_MODE_PARTIAL;
  builder->Clear(partial ? BatchBuilder::Mode::kPartial : BatchBuilder::Mode::kAllOrNothing);
  for (std::string_view message : scan.messages) {
    if (absl::Status status = builder->Add(message); !status.ok()) return status;
  }
  if (builder->count() == 0 && !builder->refusals().empty()) return Ref<Batch>();
  return builder->Build();
}

void SetFailures(const std::vector<BatchBuilder::Refusal>& refusals, EngineMetrics& metrics,
                 google::protobuf::RepeatedPtrField<v1::MessageFailure>* failures) {
  for (const BatchBuilder::Refusal& refusal : refusals) {
    v1::MessageFailure* failure = failures->Add();
    failure->set_index(refusal.index);
    *failure->mutable_error() = ToProto(refusal.why);
    CountRefusal(refusal.why, metrics);
  }
}

}  // namespace sluice::server
