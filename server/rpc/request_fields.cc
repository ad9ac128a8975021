#include "server/rpc/request_fields.h"

#include <cstdlib>

#include "google/protobuf/descriptor.h"

namespace sluice::server {

std::string FieldAt(const google::protobuf::Message& request, std::string_view path) {
  const google::protobuf::Message* message = &request;
  for (;;) {
    const size_t dot = path.find('.');
    const auto* const field =
        message->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
    // A path that is not there is a mistake in the table, which a test would have found.
    if (field == nullptr) std::abort();
    const auto* const reflection = message->GetReflection();
    if (dot == path.npos) return reflection->GetString(*message, field);
    if (!reflection->HasField(*message, field)) return "";
    message = &reflection->GetMessage(*message, field);
    path.remove_prefix(dot + 1);
  }
}

}  // namespace sluice::server
