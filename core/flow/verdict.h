// What a handler says of its message.
//
//   return Verdict::Ack();                    // or Verdict::Nack(absl::Seconds(5))
//
// Thread rule: a value type.
#pragma once

#include "absl/time/time.h"

namespace sluice {

class Verdict {
 public:
  static Verdict Ack() { return {true, absl::ZeroDuration()}; }
  // To be delivered again, after 0 to 600 s.
  static Verdict Nack(absl::Duration delay = absl::ZeroDuration()) { return {false, delay}; }

  bool acked() const { return acked_; }
  absl::Duration delay() const { return delay_; }

 private:
  Verdict(bool acked, absl::Duration delay) : acked_(acked), delay_(delay) {}
  bool acked_;
  absl::Duration delay_;
};

}  // namespace sluice
