// Writes what the store tells into the log.
//
// Thread rule: a function, for any thread.
#pragma once

#include "core/storage/local/store_event.h"

namespace sluice::server {

void LogStoreEvent(const StoreEvent& event);

}  // namespace sluice::server
