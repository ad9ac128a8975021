// Trace contexts where they come from: W3C's headers `traceparent` and `tracestate`, in the
// metadata of a call or in the attributes of a message. Google's client libraries call theirs
// `googclient_traceparent` and `googclient_tracestate`; a message that has both names is taken by
// W3C's.
//
//   traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//   (https://www.w3.org/TR/trace-context)
//
// What is not exactly as that document has it is passed over: a request is never refused for it. A
// tracestate that is wrong is left out, and the traceparent beside it still counts.
//
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/message/span_context.h"
#include "grpcpp/server_context.h"

namespace sluice::server {

std::optional<SpanContext> ParseTraceparent(std::string_view text);
// As traceparent has it: 32 digits.
std::string TraceIdText(const SpanContext& context);
// In version 00.
std::string FormatTraceparent(const SpanContext& context);
bool IsTracestate(std::string_view text);

// The context that a call came with. Two of them are none.
std::optional<SpanContext> ContextOf(const grpc::CallbackServerContext& call);

// The context in the attributes of a message, which may be malformed.
std::optional<SpanContext> ContextOf(std::string_view message);

// Sampled contexts of one batch, each once where equal ones follow one another, up to a bound.
struct FoundContexts {
  static constexpr size_t kMost = 128;

  std::vector<SpanContext> sampled;
  // Beyond the bound.
  uint32_t left_out = 0;
  // Whether there was any, sampled or not.
  bool any = false;

  void Add(const SpanContext& context);
  // That of a message, if it has one. Says whether it is a sampled one.
  bool AddFrom(std::string_view message);
};

}  // namespace sluice::server
