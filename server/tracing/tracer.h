// Makes spans and hands them to the exporter. A server that does not trace has no tracer: a null
// pointer is all that tracing costs it.
//
//   std::shared_ptr<ActiveSpan> span = tracer.Begin("publish orders", SpanKind::kServer, parent);
//   span->data().Set("messaging.system", "sluice");
//   ...
//   span->End(status);
//
// Thread rule: every member of Tracer may be called from any thread. An ActiveSpan belongs to one
// thread at a time; its End is called once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/base/clock.h"
#include "server/tracing/delivered_spans.h"
#include "server/tracing/exporter.h"
#include "server/tracing/sampler.h"
#include "server/tracing/trace_options.h"

namespace sluice::server {

class ActiveSpan;

class Tracer {
 public:
  Tracer(const TraceOptions& options, const Clock& clock, std::unique_ptr<Collector> to);

  // A span under `parent`, or the first of a trace.
  std::shared_ptr<ActiveSpan> Begin(std::string name, SpanKind kind,
                                    std::optional<SpanContext> parent, bool remote);
  // The id of a new trace, if it is one that is recorded.
  std::optional<std::array<uint8_t, 16>> NewTrace() const;

  DeliveredSpans& delivered() { return delivered_; }
  const TraceMetrics& metrics() const { return metrics_; }
  SpanExporter& exporter() { return exporter_; }
  int64_t NowNs() const { return clock_.Both().wall_us * 1000; }

 private:
  const Clock& clock_;
  const RatioSampler sampler_;
  DeliveredSpans delivered_;
  TraceMetrics metrics_;
  SpanExporter exporter_;
};

class ActiveSpan {
 public:
  ActiveSpan(Tracer& tracer, Span data) : tracer_(tracer), data_(std::move(data)) {}

  Tracer& tracer() const { return tracer_; }
  Span& data() { return data_; }
  const SpanContext& context() const { return data_.context; }

  // Now, unless data().end_ns says another time.
  void End(const absl::Status& status);

 private:
  Tracer& tracer_;
  Span data_;
};

}  // namespace sluice::server
