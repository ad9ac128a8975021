#include "server/tracing/context.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/strings.h"
#include "core/message/message_view.h"

namespace sluice::server {
namespace {

constexpr std::string_view kTraceparent = "traceparent";
constexpr std::string_view kTracestate = "tracestate";
constexpr std::string_view kGooglePrefix = "googclient_";

// version-trace_id-span_id-flags, and where the fields begin.
constexpr size_t kTraceparentSize = 55;
constexpr size_t kTraceIdAt = 3;
constexpr size_t kSpanIdAt = 36;
constexpr size_t kFlagsAt = 53;

// Of a tracestate: what everybody has to be able to pass on, and the most entries there may be.
constexpr size_t kMaxTracestateBytes = 512;
constexpr size_t kMaxTracestateEntries = 32;

// The value of a lower-case hexadecimal digit, or 16 and more.
uint32_t Digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
  return c >= 'a' && c <= 'f' ? static_cast<uint32_t>(c - 'a') + 10 : 16;
}

bool ReadHex(std::string_view digits, uint8_t* out) {
  for (size_t i = 0; i < digits.size(); i += 2) {
    const uint32_t high = Digit(digits[i]);
    const uint32_t low = Digit(digits[i + 1]);
    if ((high | low) > 15) return false;
    *out++ = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

template <size_t kSize>
bool ReadId(std::string_view text, size_t at, std::array<uint8_t, kSize>* id) {
  return ReadHex(text.substr(at, 2 * kSize), id->data()) &&
         std::any_of(id->begin(), id->end(), [](uint8_t byte) { return byte != 0; });
}

template <class Bytes>
std::string Hex(const Bytes& bytes) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

bool IsTracestateKey(std::string_view key) {
  constexpr size_t kMost = 256;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
           c == '/' || c == '@';
  };
  return !key.empty() && key.size() <= kMost && std::all_of(key.begin(), key.end(), allowed);
}

bool IsTracestateValue(std::string_view value) {
  constexpr size_t kMost = 256;
  const auto allowed = [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; };
  return !value.empty() && value.size() <= kMost && value.back() != ' ' &&
         std::all_of(value.begin(), value.end(), allowed);
}

// The values under `name`, in W3C's naming and in Google's; empty when there is none. Nothing is
// looked into that is shorter than `least`, key and value together.
struct Values {
  std::string_view own;
  std::string_view google;
};

Values Find(std::string_view message, std::string_view name, size_t least) {
  Values values;
  WireReader in(message);
  WireField field;
  while (in.Next(&field)) {
    if (field.number != kAttributesField || field.type != WireType::kBytes ||
        field.bytes.size() < least)
      continue;
    const auto attribute = ParseAttribute(field.bytes);
    if (!attribute) continue;
    if (attribute->key == name) values.own = attribute->value;
    if (attribute->key.starts_with(kGooglePrefix) &&
        attribute->key.substr(kGooglePrefix.size()) == name) {
      values.google = attribute->value;
    }
  }
  return values;
}

Values FindTraceparent(std::string_view message) {
  return Find(message, kTraceparent, kTraceparent.size() + kTraceparentSize);
}

std::optional<SpanContext> ContextOf(std::string_view message, const Values& traceparent) {
  const bool by_own = !traceparent.own.empty();
  auto context = by_own ? ParseTraceparent(traceparent.own) : std::nullopt;
  const bool own = context.has_value();
  if (!own && !traceparent.google.empty()) context = ParseTraceparent(traceparent.google);
  // Nobody asks for the state of what is not recorded.
  if (!context || !context->sampled()) return context;
  const Values tracestate = Find(message, kTracestate, kTracestate.size());
  const std::string_view state = own ? tracestate.own : tracestate.google;
  if (IsTracestate(state)) context->tracestate = state;
  return context;
}

// Whether it says no, if it is right at all.
bool SaysUnsampled(std::string_view traceparent) {
  return traceparent.size() == kTraceparentSize && traceparent.starts_with("00") &&
         (Digit(traceparent.back()) & 1) == 0;
}

}  // namespace

std::optional<SpanContext> ParseTraceparent(std::string_view text) {
  uint8_t version = 0;
  SpanContext context;
  if (text.size() < kTraceparentSize || text[kTraceIdAt - 1] != '-' || text[kSpanIdAt - 1] != '-' ||
      text[kFlagsAt - 1] != '-') {
    return std::nullopt;
  }
  if (!ReadHex(text.substr(0, 2), &version) || version == 0xFF) return std::nullopt;
  if (!ReadId(text, kTraceIdAt, &context.trace_id) || !ReadId(text, kSpanIdAt, &context.span_id) ||
      !ReadHex(text.substr(kFlagsAt, 2), &context.flags)) {
    return std::nullopt;
  }
  if (version == 0) return text.size() == kTraceparentSize ? std::optional(context) : std::nullopt;
  // Later versions may say more behind these fields, and this is all that is known of their flags.
  if (text.size() > kTraceparentSize && text[kTraceparentSize] != '-') return std::nullopt;
  context.flags &= SpanContext::kSampledFlag;
  return context;
}

std::string TraceIdText(const SpanContext& context) { return Hex(context.trace_id); }

std::string FormatTraceparent(const SpanContext& context) {
  return absl::StrCat("00-", TraceIdText(context), "-", Hex(context.span_id), "-",
                      Hex(std::array<uint8_t, 1>{context.flags}));
}

bool IsTracestate(std::string_view text) {
  if (text.empty() || text.size() > kMaxTracestateBytes) return false;
  size_t entries = 0;
  for (const absl::string_view part : absl::StrSplit(ToAbsl(text), ',')) {
    std::string_view entry = ToStd(part);
    const auto space = [](char c) { return c == ' ' || c == '\t'; };
    while (!entry.empty() && space(entry.front())) entry.remove_prefix(1);
    while (!entry.empty() && space(entry.back())) entry.remove_suffix(1);
    // W3C allows entries to be empty.
    if (entry.empty()) continue;
    const size_t equals = entry.find('=');
    if (++entries > kMaxTracestateEntries || equals == std::string_view::npos ||
        !IsTracestateKey(entry.substr(0, equals)) || !IsTracestateValue(entry.substr(equals + 1))) {
      return false;
    }
  }
  return entries > 0;
}

std::optional<SpanContext> ContextOf(const grpc::CallbackServerContext& call) {
  const auto& metadata = call.client_metadata();
  const auto [begin, end] = metadata.equal_range({kTraceparent.data(), kTraceparent.size()});
  if (begin == end || std::next(begin) != end) return std::nullopt;
  const auto text = [](const grpc::string_ref& ref) {
    return std::string_view(ref.data(), ref.size());
  };
  auto context = ParseTraceparent(text(begin->second));
  if (!context) return std::nullopt;
  // It may come in parts.
  std::string states;
  const auto [first, last] = metadata.equal_range({kTracestate.data(), kTracestate.size()});
  for (auto it = first; it != last && states.size() <= kMaxTracestateBytes; ++it) {
    absl::StrAppend(&states, states.empty() ? "" : ",", ToAbsl(text(it->second)));
  }
  if (IsTracestate(states)) context->tracestate = std::move(states);
  return context;
}

std::optional<SpanContext> ContextOf(std::string_view message) {
  return ContextOf(message, FindTraceparent(message));
}

bool FoundContexts::AddFrom(std::string_view message) {
  const Values traceparent = FindTraceparent(message);
  if (traceparent.own.empty() && traceparent.google.empty()) return false;
  // Another one that says no changes nothing, right or wrong.
  const std::string_view first = traceparent.own.empty() ? traceparent.google : traceparent.own;
  if (any && (traceparent.own.empty() || traceparent.google.empty()) && SaysUnsampled(first))
    return false;
  const auto context = ContextOf(message, traceparent);
  if (!context) return false;
  Add(*context);
  return context->sampled();
}

void FoundContexts::Add(const SpanContext& context) {
  any = true;
  if (!context.sampled() || (!sampled.empty() && sampled.back().SameAs(context))) return;
  if (sampled.size() == kMost) {
    ++left_out;
    return;
  }
  sampled.push_back(context);
}

}  // namespace sluice::server
