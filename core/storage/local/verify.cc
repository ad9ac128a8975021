#include "core/storage/local/verify.h"

#include <memory>

#include "core/base/error.h"
#include "core/message/batch.h"
#include "core/storage/config_name.h"
#include "core/storage/local/backup/restore.h"
#include "core/storage/local/folder_lock.h"
#include "core/storage/local/journal/journal.h"
#include "core/storage/local/view/view.h"
#include "fmt/format.h"

namespace sluice {
namespace {

// Every live batch that the view knows must lie where it says.
absl::Status VerifyView(const std::string& data_dir, const Journal& journal, VerifyReport* report) {
  // Without one, which only a store that never came to its first checkpoint may be, all is in the
  // journal.
  if (!PosixFileSystem().List(data_dir + "/view").ok()) return absl::OkStatus();
  auto view = View::OpenToRead(data_dir + "/view");
  absl::Status status = view.ok() ? (*view)->Check() : view.status();
  auto contents = status.ok() ? (*view)->Load() : status;
  if (absl::IsDataLoss(contents.status())) {
    report->damages.push_back(fmt::format("{}; the next start makes the view anew from the journal",
                                          std::string(contents.status().message())));
    return absl::OkStatus();
  }
  if (!contents.ok()) return contents.status();
  report->topics = contents->topics.size();
  report->subscriptions = contents->subscriptions.size();
  constexpr size_t kAtOnce = 1000;
  for (const View::TopicState& topic : contents->topics) {
    for (Offset at = topic.floor; at < topic.next;) {
      auto batches = (*view)->Find(topic.id, at, kAtOnce);
      if (!batches.ok()) return batches.status();
      if (batches->empty()) break;
      for (const BatchLocation& batch : *batches) {
        at = std::max(at + 1, batch.end());
        const std::string place =
            fmt::format("topic {} ids {} to {}: {} at {}",
                        NameOrNumber(topic.config, topic.id.value()), batch.first.value(),
                        batch.end().value() - 1, SegmentName(batch.at.segment), batch.at.offset);
        char bytes[kRecordHeaderBytes];
        if (batch.damaged()) {
          report->damages.push_back(fmt::format("{}: lost", place));
        } else if (!journal.Read(batch.at, bytes, sizeof bytes).ok()) {
          report->damages.push_back(fmt::format("{}: the view points outside the journal", place));
        } else if (const auto header = DecodeHeader({bytes, sizeof bytes});
                   !header || header->id != topic.id.value() ||
                   header->first != batch.first.value()) {
          report->damages.push_back(fmt::format("{}: another record than the view says", place));
        }
      }
    }
  }
  return absl::OkStatus();
}

// Every record, and the view.
absl::Status VerifyStore(const std::string& data_dir, const std::function<void(double)>& progress,
                         VerifyReport* report) {
  auto journal = Journal::Open(PosixFileSystem(), data_dir + "/journal", {.read_only = true});
  if (!journal.ok()) return journal.status();
  const auto segments = (*journal)->segments();
  report->segments = segments.size();
  uint64_t total = 0;
  for (const auto& [segment, bytes] : segments) total += bytes;
  const auto on_record = [&](const JournalPosition& at, const RecordHeader& header,
                             std::string_view payload) {
    ++report->records;
    report->bytes += RecordBytes(header.length);
    if (HoldsBatch(header.kind)) {
      ++report->batches;
      report->messages += header.count;
      if (absl::Status status = Batch::Check(BatchIn(header.kind, payload)); !status.ok()) {
        report->damages.push_back(
            fmt::format("{} at {}: {}", SegmentName(at.segment), at.offset, status.ToString()));
      }
    }
    if (progress)
      progress(static_cast<double>(report->bytes) /
               static_cast<double>(std::max<uint64_t>(total, 1)));
    return absl::OkStatus();
  };
  const auto on_damage = [&](uint64_t segment, const DamagedStretch& stretch) {
    const bool header = stretch.begin == 0;
    report->damages.push_back(fmt::format(
        "{} from {} to {}: {}", SegmentName(segment), stretch.begin, stretch.end,
        header ? "the segment's header, which can be done without" : "no readable record"));
  };
  if (absl::Status status = (*journal)->CheckFormat(on_damage); !status.ok()) return status;
  auto tail = (*journal)->Scan({}, on_record, on_damage);
  if (!tail.ok()) return tail.status();
  report->torn_tail = tail->torn;
  report->torn_bytes = tail->torn_bytes;
  return VerifyView(data_dir, **journal, report);
}

}  // namespace

absl::StatusOr<VerifyReport> Verify(const std::string& data_dir,
                                    const std::function<void(double)>& progress) {
  FileSystem& files = PosixFileSystem();
  VerifyReport report;
  std::unique_ptr<FolderLock> lock;
  if (HoldsManifest(files, data_dir)) {
    auto manifest = ReadManifest(files, data_dir);
    if (!manifest.ok()) return manifest.status();
    report.backup_files = manifest->files.size();
    auto damages = CheckBackup(files, data_dir, progress);
    if (!damages.ok()) return damages.status();
    // What is damaged need not be looked into: the files say which, and another backup is wanted.
    report.damages = *std::move(damages);
    if (!report.damages.empty()) return report;
  } else {
    if (auto names = files.List(data_dir + "/journal"); !names.ok()) return names.status();
    auto taken = FolderLock::Take(data_dir);
    if (!taken.ok()) return taken.status();
    lock = *std::move(taken);
  }
  if (absl::Status status = VerifyStore(data_dir, progress, &report); !status.ok()) return status;
  return report;
}

}  // namespace sluice
