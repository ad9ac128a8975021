// Any bytes as a batch record, and any pieces as messages of a batch: a record that passes its
// check can be read from end to end, and what the builder makes passes it.
#include <string>
#include <vector>

#include "core/message/batch.h"
#include "tests/fuzz/check.h"

namespace sluice::fuzz {
namespace {

void ReadRecord(std::string_view record) {
  const auto batch = Batch::Decode(Offset(7), record);
  Check(batch.ok() == Batch::Check(record).ok(), "Decode accepts what Check accepts");
  if (!batch.ok()) return;
  Check((*batch)->record() == record, "the record is kept byte for byte");
  size_t bytes = 0;
  for (uint32_t i = 0; i < (*batch)->count(); ++i) {
    const MessageView message((*batch)->message(i));
    bytes += message.bytes().size();
    message.ForEachAttribute([](std::string_view, std::string_view) {});
  }
  Check(bytes == (*batch)->body_bytes(0, (*batch)->count()), "messages fill the body");
}

// The first byte says how long each message is.
void BuildBatch(std::string_view bytes) {
  if (bytes.empty()) return;
  const size_t step = 1 + static_cast<unsigned char>(bytes[0]) % 32;
  BatchBuilder builder;
  for (size_t at = 1; at < bytes.size() && builder.count() < 1000; at += step) {
    if (!builder.Add(bytes.substr(at, step)).ok()) return;
  }
  const size_t count = builder.count();
  const auto batch = builder.Build();
  if (!batch.ok()) return;
  Check((*batch)->count() == count, "every message is in the batch");
  Check(Batch::Check((*batch)->record()).ok(), "what is built can be read");
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  sluice::fuzz::ReadRecord(bytes);
  sluice::fuzz::BuildBatch(bytes);
  return 0;
}
