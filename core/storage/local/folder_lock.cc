#include "core/storage/local/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/base/error.h"
#include "core/storage/local/file_system.h"
#include "fmt/format.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<FolderLock>> FolderLock::Take(const std::string& folder) {
  if (absl::Status status = PosixFileSystem().CreateFolder(folder); !status.ok()) return status;
  const std::string path = folder + "/LOCK";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    return Error(Reason::kDataFolderUnusable,
                 fmt::format("data folder {}: {}", folder,
                             std::error_code(errno, std::generic_category()).message()),
                 {{"path", folder}});
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    const ssize_t size = ::pread(fd, pid, sizeof pid - 1, 0);
    ::close(fd);
    return Error(Reason::kDataFolderInUse,
                 fmt::format("data folder {} is in use by another process{}{}", folder,
                             size > 0 ? ", number " : "", pid),
                 {{"path", folder}, {"process", pid}});
  }
  const std::string pid = std::to_string(::getpid());
  // Only a hint for whoever comes second.
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) errno = 0;
  return std::unique_ptr<FolderLock>(new FolderLock(fd));
}

FolderLock::~FolderLock() { ::close(fd_); }

}  // namespace sluice
