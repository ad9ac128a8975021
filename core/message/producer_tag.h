// Who published a batch, so that it is recognised when it comes again.
//
// Thread rule: a value type.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

struct ProducerTag {
  // 1 to 255 bytes of UTF-8, chosen by the producer.
  std::string id;
  // Which life of the producer this is: a larger one fences those before and counts its sequences
  // anew.
  uint64_t epoch = 0;
  // Of the batch, from 1 on, growing.
  uint64_t sequence = 0;
};

}  // namespace sluice
