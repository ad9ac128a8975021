// Reads the values of publish_limit.
//
//   topic:batches=64,bytes=16MiB,messages/s=10000,bytes/s=20MiB,wait=500ms
//
// The scope (server, project, topic), then any of the limits, and how long a batch over one of them
// waits before it is refused: 1 s unless said otherwise, 0 to refuse at once.
//
// Thread rule: a pure function.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/flow/admission.h"

namespace sluice::server {

// Sets the limits of one scope in `options`. Returns what is wrong with the text, empty when
// nothing is.
std::string ParsePublishLimit(std::string_view text, AdmissionOptions* options);
// What it reads, one for each scope that has limits.
std::vector<std::string> PublishLimitTexts(const AdmissionOptions& options);

// "20000", "20k", "16MiB": at least 1. False when it is something else.
bool ParseAmount(std::string_view text, int64_t* amount);

}  // namespace sluice::server
