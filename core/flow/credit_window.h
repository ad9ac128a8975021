// How much may be on its way to a subscriber: a limit on messages and bytes, of which a part is
// held here (received and not settled) and a part is granted to the server (and not delivered yet).
// The rest may be granted.
//
//   window.Received(10, 1000);  window.Settled(10, 1000);
//   if (auto grant = window.TakeGrant()) request.credit = *grant;
//
// Bytes may go below zero: the last message the server sends may be larger than what was left. Then
// nothing is granted until as much has been settled.
//
// Thread rule: guarded by the owner's lock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace sluice {

struct Credit {
  int64_t messages = 0;
  int64_t bytes = 0;

  Credit& operator+=(const Credit& other) {
    messages += other.messages;
    bytes += other.bytes;
    return *this;
  }
  Credit& operator-=(const Credit& other) {
    messages -= other.messages;
    bytes -= other.bytes;
    return *this;
  }
  bool operator==(const Credit&) const = default;
};

class CreditWindow {
 public:
  explicit CreditWindow(Credit limit)
      : free_{std::max<int64_t>(limit.messages, 1), std::max<int64_t>(limit.bytes, 1)} {}

  void Received(const Credit& size) { granted_ -= size; }
  void Settled(const Credit& size) { free_ += size; }

  // A new stream knows of no grants; what is held stays held.
  void StreamEnded() {
    free_ += granted_;
    granted_ = {};
  }

  // What may be granted now, which is granted with that; nothing unless there is some of both.
  std::optional<Credit> TakeGrant() {
    if (free_.messages < 1 || free_.bytes < 1) return std::nullopt;
    const Credit grant = free_;
    granted_ += grant;
    free_ = {};
    return grant;
  }

  // What is granted and not received, which is granted no more.
  Credit TakeBack() {
    const Credit granted = granted_;
    StreamEnded();
    return granted;
  }

 private:
  Credit free_;
  Credit granted_;
};

}  // namespace sluice
