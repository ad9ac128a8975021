// Strong types for numbers that must not be mixed up: an offset is not a lease id.
//
//   using LeaseId = Named<uint64_t, struct LeaseIdTag>;
//   LeaseId id{7};  id.value() == 7;  id + 1 > id;
//
// Thread rule: a value type, like the number inside.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>
#include <utility>

namespace sluice {

template <class T, class Tag>
class Named {
 public:
  constexpr Named() = default;
  constexpr explicit Named(T value) : value_(value) {}

  constexpr T value() const { return value_; }

  constexpr auto operator<=>(const Named&) const = default;
  constexpr Named operator+(T n) const { return Named(value_ + n); }
  constexpr Named operator-(T n) const { return Named(value_ - n); }
  // The distance between two.
  constexpr T operator-(Named other) const { return value_ - other.value_; }
  constexpr Named& operator+=(T n) {
    value_ += n;
    return *this;
  }
  constexpr Named& operator++() {
    ++value_;
    return *this;
  }

  template <class H>
  friend H AbslHashValue(H h, Named n) {
    return H::combine(std::move(h), n.value_);
  }
  friend std::ostream& operator<<(std::ostream& out, Named n) { return out << n.value_; }

 private:
  T value_{};
};

// The place of a message in its topic, from 1, growing by one. `message_id` is its decimal form.
using Offset = Named<uint64_t, struct OffsetTag>;

// A delivery under lease, unique in its subscription while the process lives; grows.
using LeaseId = Named<uint64_t, struct LeaseIdTag>;

// What the store calls a topic or a subscription: never used again, so that a topic created under
// an old name does not see the old one's records.
using TopicId = Named<uint64_t, struct TopicIdTag>;
using SubscriptionId = Named<uint64_t, struct SubscriptionIdTag>;

}  // namespace sluice
