#include "core/storage/local/backup/backup.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr std::string_view kPartial = ".partial";

std::string ParentOf(const std::string& folder) {
  const std::string parent = std::filesystem::path(folder).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

std::string PartialFolder(const std::string& folder) { return folder + std::string(kPartial); }

std::optional<std::string_view> NameOfPartial(std::string_view name) {
  if (!name.ends_with(kPartial)) return std::nullopt;
  return name.substr(0, name.size() - kPartial.size());
}

bool LooksLikeBackup(FileSystem& files, const std::string& folder) {
  const auto names = files.List(folder);
  if (!names.ok()) return false;
  const std::string manifest = std::filesystem::path(ManifestPath(folder)).filename().string();
  return std::all_of(names->begin(), names->end(), [&](const std::string& name) {
    return name == "journal" || name == "view" || name.starts_with(manifest);
  });
}

BackupWriter::~BackupWriter() {
  if (begun_ && !finished_) files_.RemoveFolder(Partial()).IgnoreError();
}

absl::Status BackupWriter::Begin() {
  if (files_.List(request_.folder).ok()) {
    return Error(Reason::kBackupExists,
                 fmt::format("backup {}: there is one of this name", request_.folder),
                 {{"path", request_.folder}});
  }
  if (!request_.base.empty()) {
    auto base = ReadManifest(files_, request_.base);
    if (!base.ok()) return base.status();
    base_ = *std::move(base);
  }
  begun_ = true;
  // What is left of one that was cut off.
  if (absl::Status status = files_.RemoveFolder(Partial()); !status.ok()) return status;
  if (absl::Status status = files_.CreateFolder(Partial()); !status.ok()) return status;
  if (absl::Status status = WriteIncompleteManifest(files_, Partial()); !status.ok()) return status;
  for (const char* folder : {"/journal", "/view"}) {
    if (absl::Status status = files_.CreateFolder(Partial() + folder); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status BackupWriter::Advanced(uint64_t bytes) {
  done_ += bytes;
  return request_.progress ? request_.progress(done_, report_.bytes) : absl::OkStatus();
}

// The contents are durable too: under os nobody may have waited for them so far.
absl::StatusOr<bool> BackupWriter::Link(const std::string& from, const std::string& to) {
  auto linked = files_.Link(from, to);
  if (!linked.ok() || !*linked) return linked;
  auto file = files_.OpenToRead(to);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->Sync(); !status.ok()) return status;
  return true;
}

absl::Status BackupWriter::LinkWhatCan(const std::vector<BackupSource>& sources) {
  linked_.assign(sources.size(), false);
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i].frozen) continue;
    auto linked = Link(sources[i].from, TargetOf(sources[i]));
    if (!linked.ok()) return linked.status();
    linked_[i] = *linked;
  }
  return absl::OkStatus();
}

// Better said before than when the disk is full, for everybody who writes there.
absl::Status BackupWriter::CheckSpace(const std::vector<BackupSource>& sources) const {
  uint64_t needed = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    const BackupFile* of_base = base_ ? base_->Find(sources[i].path) : nullptr;
    if (!linked_[i] && (of_base == nullptr || of_base->size != sources[i].size))
      needed += sources[i].size;
  }
  auto free = files_.FreeBytes(Partial());
  if (!free.ok()) return free.status();
  if (needed <= *free) return absl::OkStatus();
  return Error(Reason::kStorageFull,
               fmt::format("backup {}: {} bytes have to be copied, but only {} are free",
                           request_.folder, needed, *free),
               {{"path", request_.folder},
                {"value", std::to_string(needed)},
                {"limit", std::to_string(*free)}});
}

// Whether the base's file is the same, which only its contents can tell: a store that was restored
// goes on with the numbers of segments that another one has used as well.
absl::StatusOr<bool> BackupWriter::TakeFromBase(const BackupSource& source,
                                                const BackupFile& of_base) {
  auto checksum =
      ChecksumOf(files_, source.from, source.size, [](uint64_t) { return absl::OkStatus(); });
  if (!checksum.ok()) return checksum.status();
  if (*checksum != of_base.checksum) return false;
  return Link(request_.base + "/" + of_base.path, TargetOf(source));
}

absl::StatusOr<BackupFile> BackupWriter::Take(const BackupSource& source, bool linked) {
  const auto advance = [this](uint64_t bytes) { return Advanced(bytes); };
  BackupFile file{source.path, source.size, 0};
  const BackupFile* of_base = base_ ? base_->Find(source.path) : nullptr;
  if (of_base != nullptr && of_base->size != source.size) of_base = nullptr;
  if (of_base != nullptr && linked &&
      files_.SameFile(request_.base + "/" + source.path, TargetOf(source))) {
    file.checksum = of_base->checksum;
    report_.linked_bytes += source.size;
    if (absl::Status status = Advanced(source.size); !status.ok()) return status;
    return file;
  }
  if (of_base != nullptr && !linked && source.frozen) {
    auto taken = TakeFromBase(source, *of_base);
    if (!taken.ok()) return taken.status();
    if (*taken) {
      file.checksum = of_base->checksum;
      report_.linked_bytes += source.size;
      if (absl::Status status = Advanced(source.size); !status.ok()) return status;
      return file;
    }
  }
  auto checksum = linked ? ChecksumOf(files_, TargetOf(source), source.size, advance)
                         : Copy(files_, source.from, TargetOf(source), source.size, advance);
  if (!checksum.ok()) return checksum.status();
  file.checksum = *checksum;
  (linked ? report_.linked_bytes : report_.copied_bytes) += source.size;
  return file;
}

absl::StatusOr<BackupReport> BackupWriter::Write(
    JournalPosition position, const std::vector<BackupSource>& sources,
    const std::function<void(const BackupSource&)>& done_with) {
  report_.created = request_.created;
  report_.position = position;
  report_.files = sources.size();
  for (const BackupSource& source : sources) report_.bytes += source.size;
  if (absl::Status status = LinkWhatCan(sources); !status.ok()) return status;
  if (absl::Status status = CheckSpace(sources); !status.ok()) return status;
  BackupManifest manifest{report_.created, position, {}};
  for (size_t i = 0; i < sources.size(); ++i) {
    auto file = Take(sources[i], linked_[i]);
    if (!file.ok()) return file.status();
    manifest.files.push_back(*std::move(file));
    done_with(sources[i]);
  }
  if (absl::Status status = Finish(manifest); !status.ok()) return status;
  return report_;
}

// In this order, so that whoever finds a complete manifest, or the name, finds all the rest.
absl::Status BackupWriter::Finish(const BackupManifest& manifest) {
  for (const char* folder : {"/journal", "/view"}) {
    if (absl::Status status = files_.SyncFolder(Partial() + folder); !status.ok()) return status;
  }
  if (absl::Status status = WriteManifest(files_, Partial(), manifest); !status.ok()) return status;
  if (absl::Status status = files_.Rename(Partial(), request_.folder); !status.ok()) return status;
  finished_ = true;
  return files_.SyncFolder(ParentOf(request_.folder));
}

}  // namespace sluice
