// The payloads of the journal's small records and the values of the view, as rows of varints and
// strings (docs/format.md).
//
//   VarintWriter out;  out.Put(7);  out.PutBytes(config);
//   VarintReader in(bytes);  uint64_t n = in.Next();  std::string_view config = in.NextBytes();  if (!in.ok()) ...
//
// Thread rule: value types and pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/message/wire.h"
#include "core/storage/backend.h"

namespace sluice {

// Messages of a range of which so many deliveries have failed.
struct Failure {
  OffsetRange range;
  uint32_t failures = 0;
};

// What changed in a cursor between two commits.
struct CursorDelta {
  std::vector<OffsetRange> acked;
  std::vector<Failure> failed;
  // Those that still held when all of the above had happened, and those that were over without it.
  std::vector<SavedLease> leases = {};
};

// Applies a change; the same one twice is as good as once.
void Apply(const CursorDelta& delta, CursorState* state);

std::string Encode(const CursorDelta& delta);
std::string Encode(const CursorState& state);
std::optional<CursorDelta> DecodeCursorDelta(std::string_view bytes);
std::optional<CursorState> DecodeCursorState(std::string_view bytes);

// What a state snapshot says of a topic beside its config.
struct TopicExtent {
  Offset floor{1};
  Offset next{1};
  ProducerWindows producers;
};
std::string Encode(const TopicExtent& extent);
std::optional<TopicExtent> DecodeTopicExtent(std::string_view bytes);

// `initial` is null for a subscription that is there already.
std::string EncodePutSubscription(std::string_view config, const CursorState* initial);

// What stands in front of a batch that acknowledges others.
struct AckPrefix {
  SubscriptionId subscription;
  std::vector<OffsetRange> ranges;
};
std::string EncodeAckPrefix(SubscriptionId subscription, const std::vector<OffsetRange>& ranges);
std::optional<AckPrefix> DecodeAckPrefix(std::string_view payload);
// And in front of one whose producer numbers them.
std::string EncodeProducerPrefix(const ProducerTag& tag);
std::optional<ProducerTag> DecodeProducerPrefix(std::string_view payload);

}  // namespace sluice
