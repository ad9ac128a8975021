// When the messages of a topic were published, roughly: a few hundred samples from which the age of
// any offset can be told without reading the log. Samples are thinned out as they become many, so a
// topic costs at most 16 KiB here and an idle one nothing.
//
// Thread rule: a plain container; the topic locks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/named_type.h"

namespace sluice {

class TimeIndex {
 public:
  // REQUIRES: offsets grow. Times are microseconds since 1970.
  void Add(Offset offset, int64_t publish_time_us);

  // A sample from before those that were added, as read from the log after a restart.
  void Seed(Offset offset, int64_t publish_time_us) {
    if (samples_.empty() || offset < samples_.front().offset)
      samples_.insert(samples_.begin(), {offset, publish_time_us});
  }

  // The publish time of `offset`, as that of the last sample at or below it, or of the first one
  // above when there is none below; nothing without samples.
  std::optional<int64_t> TimeOf(Offset offset) const;

  // Forgets what is not needed to answer for `before` and later.
  void DropBefore(Offset before);

 private:
  struct Sample {
    Offset offset;
    int64_t time_us = 0;
  };
  std::vector<Sample> samples_;
  // Samples are this far apart at least; doubles when there are too many.
  int64_t spacing_us_ = 100'000;
};

}  // namespace sluice
