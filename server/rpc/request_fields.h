// Fields of a request by their path, as the table of rights names them.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "google/protobuf/message.h"

namespace sluice::server {

// "subscription.name" of a request: the string there, empty when a message on the way is not set.
// REQUIRES a path of messages to a string.
std::string FieldAt(const google::protobuf::Message& request, std::string_view path);

}  // namespace sluice::server
