#include "server/api/google/unknown_fields.h"

#include <string>
#include <vector>

#include "fmt/format.h"
#include "google/protobuf/unknown_field_set.h"
#include "server/api/google/texts.h"

namespace sluice::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::Status Check(const Message& message, const std::string& path) {
  const auto& reflection = *message.GetReflection();
  if (const auto& unknown = reflection.GetUnknownFields(message); !unknown.empty()) {
    return texts::Unsupported(fmt::format("{}{}", path, unknown.field(0).number()),
                              "this server does not know a field of this number");
  }
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const std::string name =
          field->is_repeated() ? fmt::format("{}[{}]", field->name(), i) : field->name();
      const Message& inner = field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                  : reflection.GetMessage(message, field);
      if (absl::Status status = Check(inner, fmt::format("{}{}.", path, name)); !status.ok())
        return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFieldsKnown(const Message& request) { return Check(request, ""); }

}  // namespace sluice::server
