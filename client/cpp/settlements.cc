#include "client/cpp/settlements.h"

#include <algorithm>

#include "core/message/limits.h"

namespace sluice::client {
namespace {

void Set(DeliveryIds ids, v1::DeliveryRange* range) {
  range->set_first(ids.first);
  range->set_last(ids.last);
}

}  // namespace

void Settlements::Ack(DeliveryIds ids) {
  if (acks_.empty() || !acks_.back().Join(ids)) acks_.push_back(ids);
}

void Settlements::Nack(DeliveryIds ids, absl::Duration delay) {
  delay = std::clamp(delay, absl::ZeroDuration(), kMaxNackDelay);
  if (nacks_.empty() || nacks_.back().delay != delay || !nacks_.back().ids.Join(ids))
    nacks_.push_back({ids, delay});
}

void Settlements::Clear() {
  acks_.clear();
  nacks_.clear();
}

void Settlements::MoveTo(v1::SubscribeRequest* request) {
  // Handlers that run side by side finish out of order; sorted, their ids join into few ranges.
  std::sort(acks_.begin(), acks_.end(),
            [](DeliveryIds a, DeliveryIds b) { return a.first < b.first; });
  DeliveryIds joined;
  for (size_t i = 0; i < acks_.size(); ++i) {
    if (i == 0) {
      joined = acks_[i];
    } else if (!joined.Join(acks_[i])) {
      Set(joined, request->add_acks());
      joined = acks_[i];
    }
  }
  if (!acks_.empty()) Set(joined, request->add_acks());
  for (const Delayed& nack : nacks_) {
    v1::Nack* out = request->add_nacks();
    Set(nack.ids, out->mutable_range());
    absl::Duration rest;
    out->mutable_delay()->set_seconds(absl::IDivDuration(nack.delay, absl::Seconds(1), &rest));
    out->mutable_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }
  Clear();
}

}  // namespace sluice::client
