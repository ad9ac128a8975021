#include "core/storage/local/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {
namespace {

absl::Status ErrnoError(std::string_view operation, const std::string& path, int error) {
  const std::string text = fmt::format("{} {}: {}", operation, path,
                                       std::error_code(error, std::generic_category()).message());
  const ErrorMetadata metadata = {
      {"path", path}, {"operation", std::string(operation)}, {"errno", std::to_string(error)}};
  if (error == ENOSPC || error == EDQUOT) return Error(Reason::kStorageFull, text, metadata);
  if (error == ENOENT || error == EACCES || error == EROFS || error == ENOTDIR || error == EPERM) {
    return Error(Reason::kDataFolderUnusable, text, metadata);
  }
  return Error(Reason::kStorageUnavailable, text, metadata);
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }

  absl::Status Write(uint64_t offset, std::vector<iovec>& parts) override {
    size_t next = 0;
    while (next < parts.size()) {
      const auto count = static_cast<int>(std::min<size_t>(parts.size() - next, IOV_MAX));
      const ssize_t written = ::pwritev(fd_, &parts[next], count, static_cast<off_t>(offset));
      if (written < 0) {
        if (errno == EINTR) continue;
        return ErrnoError("write", path_, errno);
      }
      offset += static_cast<uint64_t>(written);
      auto left = static_cast<size_t>(written);
      while (next < parts.size() && left >= parts[next].iov_len) left -= parts[next++].iov_len;
      if (left > 0) {
        parts[next].iov_base = static_cast<char*>(parts[next].iov_base) + left;
        parts[next].iov_len -= left;
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Read(uint64_t offset, char* out, size_t size) const override {
    size_t done = 0;
    while (done < size) {
      const ssize_t n = ::pread(fd_, out + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoError("read", path_, errno);
      }
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  absl::Status Sync() override {
    return ::fdatasync(fd_) == 0 ? absl::OkStatus() : ErrnoError("fdatasync", path_, errno);
  }

  void BeginSync() override {
    if (::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE) != 0) errno = 0;
  }

  absl::Status Allocate(uint64_t size) override {
    const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
    return error == 0 ? absl::OkStatus() : ErrnoError("fallocate", path_, error);
  }

  absl::Status Truncate(uint64_t size) override {
    return ::ftruncate(fd_, static_cast<off_t>(size)) == 0 ? absl::OkStatus()
                                                           : ErrnoError("truncate", path_, errno);
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return ErrnoError("stat", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  void Renamed(const std::string& path) override { path_ = path; }

 private:
  const int fd_;
  std::string path_;
};

absl::StatusOr<std::unique_ptr<File>> OpenFile(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0640);
  if (fd < 0) return ErrnoError("open", path, errno);
  return std::make_unique<PosixFile>(fd, path);
}

class PosixFiles final : public FileSystem {
 public:
  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
         it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    if (error) return ErrnoError("list", folder, error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status CreateFolder(const std::string& folder) override {
    std::error_code error;
    // Those that get a new name in them.
    std::vector<std::string> changed;
    for (std::filesystem::path path = folder;
         !path.empty() && !std::filesystem::exists(path, error); path = path.parent_path()) {
      changed.push_back(path.has_parent_path() ? path.parent_path().string() : ".");
    }
    std::filesystem::create_directories(folder, error);
    if (error) return ErrnoError("create folder", folder, error.value());
    for (const std::string& parent : changed) {
      // One may make folders where one may not look.
      absl::Status synced = SyncFolder(parent);
      if (!synced.ok() && ReasonOf(synced) != Reason::kDataFolderUnusable) return synced;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) override {
    return OpenFile(path, O_RDWR | O_CREAT | O_TRUNC);
  }
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path) override {
    return OpenFile(path, O_RDWR);
  }
  absl::StatusOr<std::unique_ptr<File>> OpenToRead(const std::string& path) override {
    return OpenFile(path, O_RDONLY);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus()
                                                   : ErrnoError("rename", from, errno);
  }
  absl::Status Remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus()
                                                          : ErrnoError("remove", path, errno);
  }
  absl::Status RemoveFolder(const std::string& folder) override {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    return error ? ErrnoError("remove", folder, error.value()) : absl::OkStatus();
  }

  absl::StatusOr<bool> Link(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) == 0) return true;
    const int error = errno;
    if (error == EXDEV || error == EPERM || error == EMLINK || error == EOPNOTSUPP ||
        error == ENOSYS)
      return false;
    return ErrnoError("link", from, error);
  }
  bool SameFile(const std::string& a, const std::string& b) override {
    std::error_code error;
    return std::filesystem::equivalent(a, b, error) && !error;
  }

  absl::Status SyncFolder(const std::string& folder) override {
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ErrnoError("open folder", folder, errno);
    const int result = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    return result == 0 ? absl::OkStatus() : ErrnoError("fsync folder", folder, error);
  }

  absl::StatusOr<uint64_t> FreeBytes(const std::string& folder) override {
    struct statvfs info {};
    if (::statvfs(folder.c_str(), &info) != 0) return ErrnoError("statvfs", folder, errno);
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }
};

}  // namespace

FileSystem& PosixFileSystem() {
  static PosixFiles files;
  return files;
}

}  // namespace sluice
