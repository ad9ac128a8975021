// Any bytes as a message: the check never reads past them, and what it accepts can be stored, read
// back and means the same.
#include <map>
#include <string>

#include "core/message/message_view.h"
#include "core/message/validate.h"
#include "tests/fuzz/check.h"

namespace sluice::fuzz {
namespace {

using Attributes = std::map<std::string, std::string>;

Attributes AttributesOf(const MessageView& message) {
  Attributes attributes;
  message.ForEachAttribute([&](std::string_view key, std::string_view value) {
    attributes.insert_or_assign(std::string(key), std::string(value));
  });
  return attributes;
}

void One(std::string_view wire) {
  const MessageView message(wire);
  const Attributes attributes = AttributesOf(message);
  for (const auto& [key, value] : attributes)
    Check(message.FindAttribute(key) == value, "the last value of a key counts");
  MessageTraits traits;
  const auto form = CheckMessage(wire, 0, &traits);
  if (!form.ok()) return;
  Check(message.ok(), "what is accepted can be read");
  std::string stored(wire);
  if (*form == WireForm::kNeedsRewrite) {
    stored.clear();
    RewriteMessage(wire, &stored);
  }
  const auto again = CheckMessage(stored, 0, &traits);
  Check(again.ok() && *again == WireForm::kStorable, "what is stored needs no rewriting");
  const MessageView read(stored);
  Check(read.data() == message.data(), "data stays");
  Check(read.ordering_key() == message.ordering_key(), "ordering key stays");
  Check(read.priority() == message.priority(), "priority stays");
  Check(AttributesOf(read) == attributes, "attributes stay");
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::fuzz::One({reinterpret_cast<const char*>(data), size});
  return 0;
}
