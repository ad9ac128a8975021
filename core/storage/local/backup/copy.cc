#include "core/storage/local/backup/copy.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "core/base/error.h"
#include "fmt/format.h"
#include "xxhash.h"

namespace sluice {
namespace {

constexpr size_t kCopyBytes = size_t{1} << 20;
// What the system holds back at the most: a long row of writes all at once would keep the journal's
// waiting.
constexpr uint64_t kSyncBytes = uint64_t{4} << 20;

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

// Reads, and writes too when `to` is one.
absl::StatusOr<uint64_t> Read(FileSystem& files, const std::string& path, File* to, uint64_t size,
                              const Advance& advance) {
  auto from = files.OpenToRead(path);
  if (!from.ok()) return from.status();
  const std::unique_ptr<XXH3_state_t, FreeState> state(XXH3_createState());
  XXH3_64bits_reset(state.get());
  std::string piece(std::min<uint64_t>(size, kCopyBytes), '\0');
  uint64_t unsynced = 0;
  for (uint64_t at = 0; at < size;) {
    auto read = (*from)->Read(at, piece.data(), std::min<uint64_t>(size - at, piece.size()));
    if (!read.ok()) return read.status();
    if (*read == 0) {
      return Error(Reason::kDataLoss,
                   fmt::format("{}: {} bytes, but there should be {}", path, at, size),
                   {{"path", path}});
    }
    XXH3_64bits_update(state.get(), piece.data(), *read);
    if (to != nullptr) {
      std::vector<iovec> parts = {{piece.data(), *read}};
      if (absl::Status status = to->Write(at, parts); !status.ok()) return status;
      unsynced += *read;
      if (unsynced >= kSyncBytes) {
        if (absl::Status status = to->Sync(); !status.ok()) return status;
        unsynced = 0;
      }
    }
    at += *read;
    if (absl::Status status = advance(*read); !status.ok()) return status;
  }
  if (to != nullptr) {
    if (absl::Status status = to->Sync(); !status.ok()) return status;
  }
  return XXH3_64bits_digest(state.get());
}

}  // namespace

absl::StatusOr<uint64_t> ChecksumOf(FileSystem& files, const std::string& path, uint64_t size,
                                    const Advance& advance) {
  return Read(files, path, nullptr, size, advance);
}

absl::StatusOr<uint64_t> Copy(FileSystem& files, const std::string& from, const std::string& to,
                              uint64_t size, const Advance& advance) {
  auto file = files.Create(to);
  if (!file.ok()) return file.status();
  return Read(files, from, file->get(), size, advance);
}

}  // namespace sluice
