#include "core/storage/local/backup/manifest.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "xxhash.h"

namespace sluice {
namespace {

constexpr std::string_view kName = "backup.manifest";
constexpr std::string_view kFirstWord = "sluice-backup";
constexpr std::string_view kIncomplete = "incomplete";
// Some hundred thousand files.
constexpr uint64_t kMaxManifestBytes = uint64_t{64} << 20;

absl::Status Incomplete(const std::string& path, std::string_view what) {
  return Error(Reason::kBackupIncomplete, fmt::format("{}: {}", path, what), {{"path", path}});
}

// A file of a store, in one of its two folders: nothing that leads out of the backup.
bool PlainPath(std::string_view path) {
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view folder = path.substr(0, slash);
  const std::string_view name = path.substr(slash + 1);
  return (folder == "journal" || folder == "view") && !name.empty() && name.front() != '.' &&
         name.find('/') == std::string_view::npos;
}

using Words = std::vector<std::string>;

bool ParseFile(const Words& words, BackupManifest* manifest) {
  BackupFile file;
  if (words.size() != 4 || !absl::SimpleAtoi(words[1], &file.size) ||
      !absl::SimpleHexAtoi(words[2], &file.checksum) || !PlainPath(words[3])) {
    return false;
  }
  file.path = words[3];
  manifest->files.push_back(std::move(file));
  return true;
}

bool ParseLine(const Words& words, BackupManifest* manifest) {
  if (words[0] == "file") return ParseFile(words, manifest);
  if (words[0] == "created") {
    return words.size() == 2 &&
           absl::ParseTime(absl::RFC3339_full, words[1], &manifest->created, nullptr);
  }
  if (words[0] == "position") {
    return words.size() == 3 && absl::SimpleAtoi(words[1], &manifest->position.segment) &&
           absl::SimpleAtoi(words[2], &manifest->position.offset);
  }
  return false;
}

absl::Status WriteFile(FileSystem& files, const std::string& path, std::string text) {
  auto file = files.Create(path);
  if (!file.ok()) return file.status();
  std::vector<iovec> parts = {{text.data(), text.size()}};
  if (absl::Status status = (*file)->Write(0, parts); !status.ok()) return status;
  return (*file)->Sync();
}

std::string FirstLine() { return fmt::format("{} {}\n", kFirstWord, kBackupVersion); }

}  // namespace

uint64_t BackupManifest::bytes() const {
  uint64_t bytes = 0;
  for (const BackupFile& file : files) bytes += file.size;
  return bytes;
}

const BackupFile* BackupManifest::Find(std::string_view path) const {
  const auto it = std::find_if(files.begin(), files.end(),
                               [path](const BackupFile& file) { return file.path == path; });
  return it == files.end() ? nullptr : &*it;
}

absl::Status BackupDamaged(const std::string& path, std::string_view what) {
  return Error(Reason::kDataLoss, fmt::format("{}: {}", path, what), {{"path", path}});
}

std::string ManifestPath(const std::string& folder) { return fmt::format("{}/{}", folder, kName); }

std::string Encode(const BackupManifest& manifest) {
  std::string text = FirstLine();
  text += fmt::format("created {}\n", absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", manifest.created,
                                                       absl::UTCTimeZone()));
  text += fmt::format("position {} {}\n", manifest.position.segment, manifest.position.offset);
  for (const BackupFile& file : manifest.files) {
    text += fmt::format("file {} {:016x} {}\n", file.size, file.checksum, file.path);
  }
  text += fmt::format("end {:016x}\n", XXH3_64bits(text.data(), text.size()));
  return text;
}

absl::StatusOr<BackupManifest> DecodeManifest(std::string_view text, const std::string& path) {
  const std::vector<std::string> lines = absl::StrSplit(ToAbsl(text), '\n');
  const Words first = absl::StrSplit(lines.front(), ' ');
  uint64_t version = 0;
  if (first.size() != 2 || first[0] != kFirstWord || !absl::SimpleAtoi(first[1], &version)) {
    return BackupDamaged(path, "not the manifest of a backup");
  }
  if (version > kBackupVersion) {
    return Error(Reason::kNewerFormat,
                 fmt::format("{}: backup format {}, but this program knows formats up to {}", path,
                             version, kBackupVersion),
                 {{"path", path},
                  {"value", std::to_string(version)},
                  {"limit", std::to_string(kBackupVersion)}});
  }
  if (lines.size() > 1 && lines[1] == kIncomplete) {
    return Incomplete(path, "the backup, or what a restore made of one, was not finished");
  }
  // Behind the last line there is nothing, so that one which is cut off is noticed.
  uint64_t checksum = 0;
  const size_t end = text.rfind("\nend ");
  const Words last =
      lines.size() > 2 ? Words(absl::StrSplit(lines[lines.size() - 2], ' ')) : Words();
  if (end == std::string_view::npos || last.size() != 2 || last[0] != "end" ||
      !lines.back().empty() || !absl::SimpleHexAtoi(last[1], &checksum)) {
    return BackupDamaged(path, "cut off before its end");
  }
  if (checksum != XXH3_64bits(text.data(), end + 1))
    return BackupDamaged(path, "its checksum does not hold");
  BackupManifest manifest;
  for (size_t i = 1; i + 2 < lines.size(); ++i) {
    if (!ParseLine(absl::StrSplit(lines[i], ' '), &manifest)) {
      return BackupDamaged(path, fmt::format("line {} cannot be understood", i + 1));
    }
  }
  return manifest;
}

absl::StatusOr<BackupManifest> ReadManifest(FileSystem& files, const std::string& folder) {
  const std::string path = ManifestPath(folder);
  if (!files.List(folder).ok()) {
    return Error(Reason::kBackupNotFound, fmt::format("{}: no such folder", folder),
                 {{"path", folder}});
  }
  auto file = files.OpenToRead(path);
  if (!file.ok()) {
    return Incomplete(
        folder, fmt::format("no {} there: not a backup, or one that was not finished", kName));
  }
  auto size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (*size > kMaxManifestBytes) return BackupDamaged(path, "too large for a manifest");
  std::string text(*size, '\0');
  auto read = (*file)->Read(0, text.data(), text.size());
  if (!read.ok()) return read.status();
  text.resize(*read);
  return DecodeManifest(text, path);
}

absl::Status WriteManifest(FileSystem& files, const std::string& folder,
                           const BackupManifest& manifest) {
  const std::string path = ManifestPath(folder);
  const std::string unfinished = path + ".new";
  if (absl::Status status = WriteFile(files, unfinished, Encode(manifest)); !status.ok())
    return status;
  if (absl::Status status = files.Rename(unfinished, path); !status.ok()) return status;
  return files.SyncFolder(folder);
}

absl::Status WriteIncompleteManifest(FileSystem& files, const std::string& folder) {
  if (absl::Status status =
          WriteFile(files, ManifestPath(folder), fmt::format("{}{}\n", FirstLine(), kIncomplete));
      !status.ok()) {
    return status;
  }
  return files.SyncFolder(folder);
}

}  // namespace sluice
