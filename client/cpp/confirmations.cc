#include "client/cpp/confirmations.h"

#include <algorithm>

#include "client/cpp/status.h"
#include "core/base/error.h"

namespace sluice::client {

std::vector<Confirmation> Confirmations::Settle(std::span<const v1::AckResult> results,
                                                std::vector<uint64_t>* too_early) {
  std::vector<Confirmation> told;
  for (const v1::AckResult& result : results) {
    const absl::Status status = result.has_error() ? FromProto(result.error()) : absl::OkStatus();
    const auto begin = waiting_.lower_bound(result.range().first());
    const auto end = waiting_.upper_bound(std::max(result.range().first(), result.range().last()));
    if (ReasonOf(status) == Reason::kEarlierMessageOutstanding) {
      for (auto it = begin; it != end; ++it) too_early->push_back(it->first);
      continue;
    }
    for (auto it = begin; it != end; ++it) told.push_back({it->second, status});
    waiting_.erase(begin, end);
  }
  return told;
}

Confirmation Confirmations::Unknown(uint64_t message_id) {
  return {
      message_id,
      absl::UnavailableError(
          "the stream ended before the acknowledgement was confirmed; the message may come again")};
}

std::vector<HeldId> Confirmations::waiting() const {
  std::vector<HeldId> all;
  for (const auto& [delivery_id, message_id] : waiting_) all.push_back({delivery_id, message_id});
  return all;
}

std::vector<HeldId> Confirmations::TakeWaiting() {
  std::vector<HeldId> all = waiting();
  waiting_.clear();
  return all;
}

std::vector<Confirmation> Confirmations::GiveUp() {
  std::vector<Confirmation> told;
  for (const HeldId id : TakeWaiting()) told.push_back(Unknown(id.message_id));
  return told;
}

}  // namespace sluice::client
