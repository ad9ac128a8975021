#include "core/storage/local/state_snapshot.h"

#include <memory>
#include <utility>
#include <vector>

#include "core/storage/local/codec.h"

namespace sluice {
namespace {

// What is written while nobody else can commit.
constexpr size_t kPieceBytes = size_t{256} << 10;

// What the records say is so already.
class NoTarget final : public JournalTarget {
 public:
  void BeforeWrite(JournalEntry&) override {}
  void AfterWrite(const JournalEntry&, const absl::Status&, const JournalPosition&) override {}
};

class Writer {
 public:
  Writer(LogContext& context, LocalCatalogue& catalogue)
      : context_(context), catalogue_(catalogue) {}

  absl::StatusOr<uint64_t> Write() {
    absl::Status version;
    context_.committer.RunExclusive([&] { version = context_.journal.EnsureCurrentVersion(); });
    if (!version.ok()) return version;
    std::vector<std::shared_ptr<LocalLog>> logs;
    std::vector<std::shared_ptr<LocalCursor>> cursors;
    const auto begun = context_.committer.WriteExclusive([&] {
      logs = catalogue_.Logs();
      cursors = catalogue_.Cursors();
      VarintWriter payload;
      payload.Put(catalogue_.next_id());
      return One(RecordKind::kSnapshotBegin, 0, payload.Take());
    });
    if (!begun.ok()) return begun.status();
    if (absl::Status status = WriteAll(logs, [this](const auto& log) { AddTopic(log); });
        !status.ok())
      return status;
    if (absl::Status status =
            WriteAll(cursors, [this](const auto& cursor) { AddSubscription(cursor); });
        !status.ok()) {
      return status;
    }
    const auto ended = context_.committer.WriteExclusive([&] {
      VarintWriter payload;
      payload.Put(begun->segment);
      payload.Put(begun->offset);
      return One(RecordKind::kSnapshotEnd, 0, payload.Take());
    });
    if (!ended.ok()) return ended.status();
    if (absl::Status status = context_.journal.SyncAll(); !status.ok()) return status;
    return bytes_;
  }

 private:
  template <class Items, class Add>
  absl::Status WriteAll(const Items& items, const Add& add) {
    for (auto it = items.begin(); it != items.end();) {
      const auto written = context_.committer.WriteExclusive([&] {
        const uint64_t end = bytes_ + kPieceBytes;
        for (; it != items.end() && bytes_ < end; ++it) add(*it);
        return std::exchange(piece_, {});
      });
      if (!written.ok()) return written.status();
    }
    return absl::OkStatus();
  }

  void AddTopic(const std::shared_ptr<LocalLog>& log) {
    // It may have been removed since the begin.
    if (catalogue_.Log(log->id()) != log) return;
    const View::TopicState state = log->state();
    Add(RecordKind::kPutTopic, state.id.value(), state.config);
    Add(RecordKind::kTopicState, state.id.value(),
        Encode(TopicExtent{state.floor, state.next, state.producers}));
  }
  void AddSubscription(const std::shared_ptr<LocalCursor>& cursor) {
    if (catalogue_.CursorOf(cursor->id()) != cursor) return;
    const CursorState state = cursor->state();
    Add(RecordKind::kPutSubscription, cursor->id().value(),
        EncodePutSubscription(cursor->config(), &state));
  }

  std::vector<JournalEntry> One(RecordKind kind, uint64_t id, std::string payload) {
    Add(kind, id, std::move(payload));
    return std::exchange(piece_, {});
  }
  void Add(RecordKind kind, uint64_t id, std::string payload) {
    JournalEntry entry;
    entry.header.kind = kind;
    entry.header.id = id;
    entry.bytes = std::move(payload);
    entry.target = target_;
    bytes_ += RecordBytes(entry.bytes.size());
    piece_.push_back(std::move(entry));
  }

  LogContext& context_;
  LocalCatalogue& catalogue_;
  const std::shared_ptr<NoTarget> target_ = std::make_shared<NoTarget>();
  std::vector<JournalEntry> piece_;
  uint64_t bytes_ = 0;
};

}  // namespace

absl::StatusOr<uint64_t> WriteStateSnapshot(LogContext& context, LocalCatalogue& catalogue) {
  return Writer(context, catalogue).Write();
}

}  // namespace sluice
