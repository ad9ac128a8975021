#include "server/tracing/otlp.h"

#include "core/base/strings.h"
#include "core/base/version.h"

namespace sluice::server {
namespace {

// Flags of a span or a link beside those of W3C: whether what they are about is of another process,
// and that this is known.
constexpr uint32_t kRemoteKnown = 0x100;
constexpr uint32_t kRemote = 0x200;

template <class Bytes>
std::string ToString(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Utf8(const std::string& text) { return IsValidUtf8(text) ? text : "?"; }

void SetValue(const std::string& value, otlp::common::v1::AnyValue* out) {
  out->set_string_value(Utf8(value));
}
void SetValue(int64_t value, otlp::common::v1::AnyValue* out) { out->set_int_value(value); }

template <class Attributes>
otlp::common::v1::AnyValue* AddAttribute(std::string_view key, Attributes* out) {
  otlp::common::v1::KeyValue* attribute = out->Add();
  attribute->set_key(std::string(key));
  return attribute->mutable_value();
}

void SetLinks(const Span& span, otlp::trace::v1::Span* out) {
  for (const SpanContext& context : span.links) {
    otlp::trace::v1::Span::Link* link = out->add_links();
    link->set_trace_id(ToString(context.trace_id));
    link->set_span_id(ToString(context.span_id));
    link->set_flags(context.flags);
  }
  out->set_dropped_links_count(span.links_left_out);
}

void SetSpan(const Span& span, otlp::trace::v1::Span* out) {
  out->set_trace_id(ToString(span.context.trace_id));
  out->set_span_id(ToString(span.context.span_id));
  out->set_trace_state(span.context.tracestate);
  out->set_flags(span.context.flags | kRemoteKnown |
                 (span.parent && span.parent_is_remote ? kRemote : 0));
  if (span.parent) out->set_parent_span_id(ToString(span.parent->span_id));
  out->set_name(Utf8(span.name));
  out->set_kind(static_cast<otlp::trace::v1::Span::SpanKind>(span.kind));
  out->set_start_time_unix_nano(static_cast<uint64_t>(span.start_ns));
  out->set_end_time_unix_nano(static_cast<uint64_t>(span.end_ns));
  for (const auto& [key, value] : span.attributes) {
    auto* const to = AddAttribute(key, out->mutable_attributes());
    std::visit([to](const auto& held) { SetValue(held, to); }, value);
  }
  SetLinks(span, out);
  if (!span.failed) return;
  out->mutable_status()->set_code(otlp::trace::v1::Status::STATUS_CODE_ERROR);
  out->mutable_status()->set_message(Utf8(span.error));
}

}  // namespace

collector::ExportTraceServiceRequest ToOtlp(const std::vector<Span>& spans,
                                            const std::string& instance) {
  collector::ExportTraceServiceRequest request;
  otlp::trace::v1::ResourceSpans* resource = request.add_resource_spans();
  auto* const attributes = resource->mutable_resource()->mutable_attributes();
  SetValue("sluiced", AddAttribute("service.name", attributes));
  SetValue(kVersion, AddAttribute("service.version", attributes));
  SetValue(instance, AddAttribute("service.instance.id", attributes));
  otlp::trace::v1::ScopeSpans* scope = resource->add_scope_spans();
  scope->mutable_scope()->set_name("sluice.server.tracing");
  scope->mutable_scope()->set_version(kVersion);
  for (const Span& span : spans) SetSpan(span, scope->add_spans());
  return request;
}

}  // namespace sluice::server
