#include "server/tracing/tracer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/random/random.h"
#include "core/base/error.h"
#include "core/base/strings.h"

namespace sluice::server {
namespace {

// Random bytes, not all of them zero.
template <size_t kSize>
void MakeId(std::array<uint8_t, kSize>* id) {
  thread_local absl::InsecureBitGen random;
  for (size_t at = 0; at < kSize; at += sizeof(uint64_t)) {
    const uint64_t word =
        absl::Uniform<uint64_t>(absl::IntervalClosedClosed, random, 1, UINT64_MAX);
    std::memcpy(id->data() + at, &word, sizeof word);
  }
}

}  // namespace

Tracer::Tracer(const TraceOptions& options, const Clock& clock, std::unique_ptr<Collector> to)
    : clock_(clock),
      sampler_(options.sample),
      exporter_(std::move(to), {.queue = options.queue}, metrics_) {}

std::shared_ptr<ActiveSpan> Tracer::Begin(std::string name, SpanKind kind,
                                          std::optional<SpanContext> parent, bool remote) {
  Span span;
  if (parent) {
    span.context = *parent;
  } else {
    MakeId(&span.context.trace_id);
    span.context.flags = SpanContext::kSampledFlag;
  }
  MakeId(&span.context.span_id);
  span.name = std::move(name);
  span.kind = kind;
  span.parent = std::move(parent);
  span.parent_is_remote = remote;
  span.start_ns = NowNs();
  return std::make_shared<ActiveSpan>(*this, std::move(span));
}

std::optional<std::array<uint8_t, 16>> Tracer::NewTrace() const {
  std::array<uint8_t, 16> trace_id;
  MakeId(&trace_id);
  if (!sampler_.Samples(trace_id)) return std::nullopt;
  return trace_id;
}

void ActiveSpan::End(const absl::Status& status) {
  if (data_.end_ns == 0) data_.end_ns = tracer_.NowNs();
  data_.end_ns = std::max(data_.end_ns, data_.start_ns);
  if (!status.ok()) {
    data_.failed = true;
    data_.error = std::string(status.message());
    const auto reason = ReasonOf(status);
    data_.Set("error.type", std::string(reason ? ReasonName(*reason)
                                               : ToStd(absl::StatusCodeToString(status.code()))));
  }
  tracer_.exporter().Add(std::move(data_));
}

}  // namespace sluice::server
