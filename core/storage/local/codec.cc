#include "core/storage/local/codec.h"

#include <algorithm>
#include <cstring>

#include "core/storage/local/journal/record.h"

namespace sluice {

namespace {

// Version 1 counted deliveries where failures are counted now: of a message that is not
// acknowledged all failed but the last, of which nobody knows. Below an offset that stood in front
// of them everything had been delivered at least once.
uint32_t FailuresOf(uint32_t deliveries) { return deliveries == 0 ? 0 : deliveries - 1; }
constexpr uint64_t kNoDeliveries = 0;

OffsetRange NextRange(VarintReader* in) {
  const Offset begin(in->Next());
  const OffsetRange range{begin, begin + in->Next()};
  if (range.empty()) in->Fail();  // also one that goes past the largest offset
  return range;
}

void Put(VarintWriter* out, const SavedLease& lease) {
  out->Put(lease.offsets.begin.value());
  out->Put(lease.offsets.size());
  out->Put(static_cast<uint64_t>(lease.until_ms));
  if (lease.over()) return;
  out->Put(lease.incarnation);
  out->Put(lease.first.value());
}

// The list at the end; there is none where nothing is to be said, as before there were leases.
template <class Fn>
void TakeLeases(VarintReader* in, Fn&& fn) {
  if (!in->ok() || in->AtEnd()) return;
  for (uint64_t left = in->Next(); left > 0 && in->ok(); --left) {
    SavedLease lease{.offsets = NextRange(in), .until_ms = static_cast<int64_t>(in->Next())};
    if (!lease.over()) {
      lease.incarnation = static_cast<uint32_t>(in->Next());
      lease.first = LeaseId(in->Next());
    }
    if (in->ok()) fn(lease);
  }
}

}  // namespace

void Apply(const CursorDelta& delta, CursorState* state) {
  for (const Failure& failure : delta.failed) state->Fail(failure.range, failure.failures);
  for (const OffsetRange& range : delta.acked) state->Ack(range);
  for (const SavedLease& lease : delta.leases) state->Lease(lease);
}

std::string Encode(const CursorDelta& delta) {
  VarintWriter out;
  out.Put(kNoDeliveries);
  out.Put(delta.acked.size());
  for (const OffsetRange& range : delta.acked) {
    out.Put(range.begin.value());
    out.Put(range.size());
  }
  out.Put(kNoDeliveries);
  out.Put(delta.failed.size());
  for (const Failure& failure : delta.failed) {
    out.Put(failure.range.begin.value());
    out.Put(failure.range.size());
    out.Put(failure.failures);
  }
  if (delta.leases.empty()) return out.Take();
  out.Put(delta.leases.size());
  for (const SavedLease& lease : delta.leases) Put(&out, lease);
  return out.Take();
}

std::optional<CursorDelta> DecodeCursorDelta(std::string_view bytes) {
  VarintReader in(bytes);
  const auto next_range = [&in] { return NextRange(&in); };
  CursorDelta delta;
  in.Next();
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) delta.acked.push_back(next_range());
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) {
    const OffsetRange range = next_range();
    const uint32_t failures = FailuresOf(static_cast<uint32_t>(in.Next()));
    if (failures > 0) delta.failed.push_back({range, failures});
  }
  if (in.ok() && in.AtEnd()) return delta;  // of version 1
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) {
    const OffsetRange range = next_range();
    delta.failed.push_back({range, static_cast<uint32_t>(in.Next())});
  }
  TakeLeases(&in, [&](const SavedLease& lease) { delta.leases.push_back(lease); });
  if (!in.ok()) return std::nullopt;
  return delta;
}

std::string Encode(const CursorState& state) {
  VarintWriter out;
  out.PutBytes(state.acked.Encode());
  out.Put(kNoDeliveries);
  out.Put(kNoDeliveries);
  out.Put(state.failures.size());
  Offset previous(0);
  for (const auto& [offset, failures] : state.failures) {
    out.Put(offset - previous);
    out.Put(failures);
    previous = offset;
  }
  if (state.leases.empty()) return out.Take();
  out.Put(state.leases.size());
  for (const auto& [begin, lease] : state.leases.runs()) Put(&out, lease);
  return out.Take();
}

std::optional<CursorState> DecodeCursorState(std::string_view bytes) {
  VarintReader in(bytes);
  CursorState state;
  auto acked = AckSet::Decode(in.NextBytes());
  if (!acked) return std::nullopt;
  state.acked = *std::move(acked);
  in.Next();
  const auto next_counts = [&](const auto& failures_of) {
    Offset offset(0);
    for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) {
      offset += in.Next();
      const uint32_t failures = failures_of(static_cast<uint32_t>(in.Next()));
      if (failures > 0) state.failures.emplace_hint(state.failures.end(), offset, failures);
    }
  };
  next_counts(FailuresOf);
  if (in.ok() && in.AtEnd()) return state;  // of version 1
  next_counts([](uint32_t failures) { return failures; });
  TakeLeases(&in, [&](const SavedLease& lease) {
    if (!lease.over()) state.leases.Put(lease);
  });
  if (!in.ok()) return std::nullopt;
  return state;
}

std::string Encode(const TopicExtent& extent) {
  VarintWriter out;
  out.Put(extent.floor.value());
  out.Put(extent.next.value());
  out.PutBytes(extent.producers.Encode());
  return out.Take();
}

std::optional<TopicExtent> DecodeTopicExtent(std::string_view bytes) {
  VarintReader in(bytes);
  TopicExtent extent;
  extent.floor = Offset(in.Next());
  extent.next = Offset(in.Next());
  auto producers = ProducerWindows::Decode(in.NextBytes());
  if (!in.ok() || !producers) return std::nullopt;
  extent.producers = *std::move(producers);
  return extent;
}

std::string EncodePutSubscription(std::string_view config, const CursorState* initial) {
  VarintWriter out;
  out.PutBytes(config);
  out.PutBytes(initial == nullptr ? "" : Encode(*initial));
  return out.Take();
}

std::string EncodeAckPrefix(SubscriptionId subscription, const std::vector<OffsetRange>& ranges) {
  std::vector<uint64_t> numbers;
  if (ranges.size() > 1) numbers.push_back(kSeveralRanges);
  numbers.push_back(subscription.value());
  if (ranges.size() > 1) numbers.push_back(ranges.size());
  for (const OffsetRange& range : ranges) {
    numbers.push_back(range.begin.value());
    numbers.push_back(range.end.value());
  }
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(uint64_t)};
}

std::optional<AckPrefix> DecodeAckPrefix(std::string_view payload) {
  const std::optional<size_t> bytes = AckPrefixBytes(payload);
  if (!bytes) return std::nullopt;
  std::vector<uint64_t> numbers(*bytes / sizeof(uint64_t));
  std::memcpy(numbers.data(), payload.data(), *bytes);
  const bool several = numbers[0] == kSeveralRanges;
  AckPrefix prefix{SubscriptionId(numbers[several ? 1 : 0]), {}};
  for (size_t i = several ? 3 : 1; i + 1 < numbers.size(); i += 2) {
    const OffsetRange range{Offset(numbers[i]), Offset(numbers[i + 1])};
    if (range.empty()) return std::nullopt;
    prefix.ranges.push_back(range);
  }
  if (prefix.ranges.empty()) return std::nullopt;
  return prefix;
}

std::string EncodeProducerPrefix(const ProducerTag& tag) {
  const uint64_t numbers[] = {tag.epoch, tag.sequence, tag.id.size()};
  static_assert(sizeof numbers == kProducerPrefixBytes);
  return std::string(reinterpret_cast<const char*>(numbers), sizeof numbers) + tag.id;
}

std::optional<ProducerTag> DecodeProducerPrefix(std::string_view payload) {
  uint64_t numbers[3];
  if (payload.size() < sizeof numbers) return std::nullopt;
  std::memcpy(numbers, payload.data(), sizeof numbers);
  payload.remove_prefix(sizeof numbers);
  if (numbers[2] > payload.size()) return std::nullopt;
  return ProducerTag{std::string(payload.substr(0, numbers[2])), numbers[0], numbers[1]};
}

}  // namespace sluice
