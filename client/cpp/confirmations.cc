#include "client/cpp/confirmations.h"

#include <algorithm>

#include "client/cpp/status.h"

namespace sluice::client {

std::vector<Confirmation> Confirmations::Settle(std::span<const v1::AckResult> results) {
  std::vector<Confirmation> told;
  for (const v1::AckResult& result : results) {
    const absl::Status status = result.has_error() ? FromProto(result.error()) : absl::OkStatus();
    const auto begin = waiting_.lower_bound(result.range().first());
    auto end = begin;
    for (; end != waiting_.end() && end->first <= std::max(result.range().first(), result.range().last()); ++end) {
      told.push_back({end->second, status});
    }
    waiting_.erase(begin, end);
  }
  return told;
}

Confirmation Confirmations::Unknown(uint64_t message_id) {
  return {message_id,
          absl::UnavailableError("the stream ended before the acknowledgement was confirmed; the message may come again")};
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
