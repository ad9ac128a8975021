#include "core/storage/local/codec.h"

#include <algorithm>
#include <cstring>

#include "core/storage/local/journal/record.h"

namespace sluice {

void Apply(const CursorDelta& delta, CursorState* state) {
  state->delivered_end = std::max(state->delivered_end, delta.delivered_end);
  for (const Redelivery& again : delta.redelivered) state->NoteAttempts(again.range, again.attempts);
  for (const OffsetRange& range : delta.acked) {
    state->acked.Add(range);
    if (state->attempts.empty()) continue;
    state->attempts.erase(state->attempts.lower_bound(range.begin), state->attempts.lower_bound(range.end));
  }
}

std::string Encode(const CursorDelta& delta) {
  VarintWriter out;
  out.Put(delta.delivered_end.value());
  out.Put(delta.acked.size());
  for (const OffsetRange& range : delta.acked) {
    out.Put(range.begin.value());
    out.Put(range.size());
  }
  out.Put(delta.redelivered.size());
  for (const Redelivery& again : delta.redelivered) {
    out.Put(again.range.begin.value());
    out.Put(again.range.size());
    out.Put(again.attempts);
  }
  return out.Take();
}

std::optional<CursorDelta> DecodeCursorDelta(std::string_view bytes) {
  VarintReader in(bytes);
  const auto next_range = [&in] {
    const Offset begin(in.Next());
    const OffsetRange range{begin, begin + in.Next()};
    if (range.empty()) in.Fail();  // also one that goes past the largest offset
    return range;
  };
  CursorDelta delta;
  delta.delivered_end = Offset(in.Next());
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) delta.acked.push_back(next_range());
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) {
    const OffsetRange range = next_range();
    delta.redelivered.push_back({range, static_cast<uint32_t>(in.Next())});
  }
  if (!in.ok()) return std::nullopt;
  return delta;
}

std::string Encode(const CursorState& state) {
  VarintWriter out;
  out.PutBytes(state.acked.Encode());
  out.Put(state.delivered_end.value());
  out.Put(state.attempts.size());
  Offset previous(0);
  for (const auto& [offset, attempts] : state.attempts) {
    out.Put(offset - previous);
    out.Put(attempts);
    previous = offset;
  }
  return out.Take();
}

std::optional<CursorState> DecodeCursorState(std::string_view bytes) {
  VarintReader in(bytes);
  CursorState state;
  auto acked = AckSet::Decode(in.NextBytes());
  if (!acked) return std::nullopt;
  state.acked = *std::move(acked);
  state.delivered_end = Offset(in.Next());
  Offset previous(0);
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) {
    previous += in.Next();
    state.attempts.emplace_hint(state.attempts.end(), previous, static_cast<uint32_t>(in.Next()));
  }
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

std::string EncodeAckPrefix(SubscriptionId subscription, OffsetRange range) {
  const uint64_t numbers[] = {subscription.value(), range.begin.value(), range.end.value()};
  static_assert(sizeof numbers == kAckPrefixBytes);
  return {reinterpret_cast<const char*>(numbers), sizeof numbers};
}

std::optional<std::pair<SubscriptionId, OffsetRange>> DecodeAckPrefix(std::string_view payload) {
  uint64_t numbers[3];
  if (payload.size() < sizeof numbers) return std::nullopt;
  std::memcpy(numbers, payload.data(), sizeof numbers);
  const OffsetRange range{Offset(numbers[1]), Offset(numbers[2])};
  if (range.empty()) return std::nullopt;
  return std::pair(SubscriptionId(numbers[0]), range);
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
