// How much of a client's credit the engine may use at a time: what waits on a stream to be written
// is bounded in bytes, however much credit a client grants and however slowly it reads.
//
//   window.Grant(credit.bytes());                        // or Unlimited()
//   subscription->Grant(id, credit.messages(), window.Take(ledger.tight()));
//   window.Written(bytes);                               // and Take() again
//
// While memory is tight the window is a small one.
//
// Bytes are those of stored messages, as the engine counts them.
//
// Thread rule: a plain value; the session locks.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::server {

class DeliveryWindow {
 public:
  // Two responses of the largest kind: one being written while the next is collected.
  static constexpr int64_t kBytes = int64_t{2} << 20;
  static constexpr int64_t kTightBytes = int64_t{64} << 10;

  // REQUIRES: bytes >= 0. Grants add up; the sum is kept from overflowing.
  void Grant(int64_t bytes) { left_ = std::min(left_ + std::min(bytes, kMost), kMost); }
  void Unlimited() { unlimited_ = true; }

  void Written(int64_t bytes) { open_ -= bytes; }

  // What the engine may deliver more, now. 0 while less than half of the window is free: grants
  // cost a lock each.
  int64_t Take(bool tight) {
    const int64_t window = tight ? kTightBytes : kBytes;
    const int64_t room = window - open_;
    if (room < window / 2) return 0;
    const int64_t bytes = unlimited_ ? room : std::min(room, left_);
    if (!unlimited_) left_ -= bytes;
    open_ += bytes;
    return bytes;
  }

 private:
  static constexpr int64_t kMost = int64_t{1} << 60;

  // Granted by the client and not taken yet.
  int64_t left_ = 0;
  bool unlimited_ = false;
  // Taken and not written yet. Below 0 after a message larger than what was left.
  int64_t open_ = 0;
};

}  // namespace sluice::server
