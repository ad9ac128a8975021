// Spans in OpenTelemetry's protocol.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <vector>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"
#include "server/tracing/span.h"

namespace sluice::server {

namespace otlp = ::opentelemetry::proto;
namespace collector = otlp::collector::trace::v1;

// One request with all of them; `instance` tells this process from others of its kind. What is no
// UTF-8 is left out: one bad string would cost the whole request.
collector::ExportTraceServiceRequest ToOtlp(const std::vector<Span>& spans,
                                            const std::string& instance);

}  // namespace sluice::server
