#include "core/storage/local/store_event.h"

#include "core/base/error.h"

namespace sluice {

StoreEvent StoreEventOf(StoreEventKind kind, const absl::Status& status) {
  StoreEvent event;
  event.kind = kind;
  event.message = std::string(status.message());
  for (const auto& [key, value] : MetadataOf(status)) {
    if (key == "operation") event.operation = value;
    if (key == "path") event.path = value;
    if (key == "errno") event.error_number = value;
  }
  return event;
}

}  // namespace sluice
