#include "server/process/store_log.h"

#include "server/log/log.h"

namespace sluice::server {
namespace {

LogFields FieldsOf(const StoreEvent& event) {
  LogFields fields;
  if (!event.operation.empty()) fields.emplace_back("operation", event.operation);
  if (!event.path.empty()) fields.emplace_back("path", event.path);
  if (!event.error_number.empty()) fields.emplace_back("errno", event.error_number);
  if (!event.message.empty()) fields.emplace_back("error", event.message);
  return fields;
}

}  // namespace

void LogStoreEvent(const StoreEvent& event) {
  const LogFields fields = FieldsOf(event);
  switch (event.kind) {
    case StoreEventKind::kClosed:
      return LogError(LogPart::kStore, "the store takes no more writes", fields);
    case StoreEventKind::kFull:
      return LogWarning(LogPart::kStore, "the store has no space for messages", fields);
    case StoreEventKind::kWritable:
      return Log(LogPart::kStore, "the store takes messages again");
    case StoreEventKind::kReadFailed:
      return LogWarning(LogPart::kStore, "a read of the store failed", fields);
    case StoreEventKind::kDamaged:
      return LogWarning(LogPart::kStore, "messages are damaged on the disk", fields);
    case StoreEventKind::kCheckpointFailed:
      return LogWarning(LogPart::kStore, "a checkpoint failed", fields);
    case StoreEventKind::kCheckpointMade:
      return Log(LogPart::kStore, "checkpoints succeed again");
    case StoreEventKind::kUpkeepFailed:
      return LogWarning(LogPart::kStore, "the store cannot give space back", fields);
    case StoreEventKind::kView:
      return LogWarning(LogPart::kStore, "the view's database warns", fields);
  }
}

}  // namespace sluice::server
