// What is told of one piece of work: a span, ready to be exported. What spans are made for and what
// they say is messaging_spans.h.
//
// Thread rule: a value type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/message/span_context.h"

namespace sluice::server {

// OpenTelemetry's, with its numbers.
enum class SpanKind { kInternal = 1, kServer = 2, kClient = 3, kProducer = 4, kConsumer = 5 };

struct Span {
  // Keys are literals.
  using Attribute = std::pair<std::string_view, std::variant<std::string, int64_t>>;

  SpanContext context;
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  // Absent for the root of a trace; remote when another process made it.
  std::optional<SpanContext> parent;
  bool parent_is_remote = false;
  // Nanoseconds since 1970.
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  std::vector<Attribute> attributes;
  std::vector<SpanContext> links;
  uint32_t links_left_out = 0;
  bool failed = false;
  std::string error;

  void Set(std::string_view key, std::string value) {
    attributes.emplace_back(key, std::move(value));
  }
  void Set(std::string_view key, int64_t value) { attributes.emplace_back(key, value); }
};

}  // namespace sluice::server
