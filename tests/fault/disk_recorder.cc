#include "tests/fault/disk_recorder.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

namespace sluice {
namespace {

// Everything that is recorded; std::mutex, since the calls come from below everything else.
struct Recording {
  std::mutex mu;
  bool on = false;
  std::string folder;
  std::vector<DiskOp> ops;
  // Files of the folder by descriptor and by path; folders that are open by descriptor.
  std::map<int, uint64_t> files;
  std::map<int, std::string> folders;
  std::map<std::string, uint64_t> by_path;
  uint64_t next_file = 1;

  bool Sees(std::string_view path) const { return on && path.substr(0, folder.size()) == folder; }
  void Add(DiskOp op) { ops.push_back(std::move(op)); }
};

Recording& State() {
  static Recording& recording = *new Recording;
  return recording;
}

template <class Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}
#define SLUICE_REAL(name) static const auto real = sluice::Real<decltype(&::name)>(#name)

std::string PathIn(int folder, const char* path) {
  if (folder == AT_FDCWD || path[0] == '/') return path;
  const auto it = State().folders.find(folder);
  return it == State().folders.end() ? path : it->second + "/" + path;
}

void Opened(int fd, const std::string& path, int flags) {
  Recording& state = State();
  // Not every close is seen.
  state.files.erase(fd);
  state.folders.erase(fd);
  if (fd < 0 || !state.Sees(path)) return;
  if ((flags & O_DIRECTORY) != 0) {
    state.folders[fd] = path;
    return;
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return;
  if (S_ISDIR(info.st_mode)) {
    state.folders[fd] = path;
    return;
  }
  auto it = state.by_path.find(path);
  if (it == state.by_path.end()) {
    it = state.by_path.emplace(path, state.next_file++).first;
    state.Add({.kind = DiskOp::Kind::kCreate, .file = it->second, .name = path});
  } else if ((flags & O_TRUNC) != 0) {
    state.Add({.kind = DiskOp::Kind::kResize, .file = it->second});
  }
  state.files[fd] = it->second;
}

void Written(int fd, uint64_t offset, const iovec* parts, int count, ssize_t written) {
  Recording& state = State();
  const auto it = state.files.find(fd);
  if (!state.on || written <= 0 || it == state.files.end()) return;
  std::string data;
  for (int i = 0; i < count; ++i)
    data.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  data.resize(static_cast<size_t>(written));
  state.Add({.kind = DiskOp::Kind::kWrite,
             .file = it->second,
             .offset = offset,
             .data = std::move(data)});
}

void Sized(int fd, DiskOp::Kind kind, uint64_t size) {
  Recording& state = State();
  const auto it = state.files.find(fd);
  if (state.on && it != state.files.end())
    state.Add({.kind = kind, .file = it->second, .offset = size});
}

// A sync covers what was there when it began. It need not be made: no cut but those that are
// simulated comes.
bool Synced(int fd) {
  Recording& state = State();
  const std::lock_guard lock(state.mu);
  if (!state.on) return false;
  const uint64_t begin = state.ops.size();
  if (const auto it = state.files.find(fd); it != state.files.end()) {
    state.Add({.kind = DiskOp::Kind::kSync, .file = it->second, .offset = begin});
    return true;
  }
  if (const auto it = state.folders.find(fd); it != state.folders.end()) {
    state.Add({.kind = DiskOp::Kind::kSyncFolder, .offset = begin, .name = it->second});
    return true;
  }
  return false;
}

void Removed(const std::string& path) {
  Recording& state = State();
  if (!state.Sees(path)) return;
  state.by_path.erase(path);
  state.Add({.kind = DiskOp::Kind::kRemove, .name = path});
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

DiskRecorder& DiskRecorder::Start(const std::string& folder) {
  static DiskRecorder recorder;
  Recording& state = State();
  const std::lock_guard lock(state.mu);
  state.on = true;
  state.folder = folder + "/";
  state.ops.clear();
  state.files.clear();
  state.folders.clear();
  state.by_path.clear();
  return recorder;
}

size_t DiskRecorder::Mark() const {
  const std::lock_guard lock(State().mu);
  return State().ops.size();
}

std::vector<DiskOp> DiskRecorder::Stop() {
  const std::lock_guard lock(State().mu);
  State().on = false;
  return std::move(State().ops);
}

}  // namespace sluice

using sluice::DiskOp;
using sluice::State;

extern "C" {

int open(const char* path, int flags, ...) {
  SLUICE_REAL(open);
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = sluice::ModeOf(flags, arguments);
  va_end(arguments);
  const std::lock_guard lock(State().mu);
  const int fd = real(path, flags, mode);
  sluice::Opened(fd, path, flags);
  return fd;
}

int openat(int folder, const char* path, int flags, ...) {
  SLUICE_REAL(openat);
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = sluice::ModeOf(flags, arguments);
  va_end(arguments);
  const std::lock_guard lock(State().mu);
  const int fd = real(folder, path, flags, mode);
  sluice::Opened(fd, sluice::PathIn(folder, path), flags);
  return fd;
}

int close(int fd) {
  SLUICE_REAL(close);
  const std::lock_guard lock(State().mu);
  State().files.erase(fd);
  State().folders.erase(fd);
  return real(fd);
}

ssize_t write(int fd, const void* data, size_t size) {
  SLUICE_REAL(write);
  const std::lock_guard lock(State().mu);
  const bool seen = State().on && State().files.count(fd) > 0;
  const off_t at = seen ? ::lseek(fd, 0, SEEK_CUR) : 0;
  const ssize_t written = real(fd, data, size);
  const iovec part{const_cast<void*>(data), size};
  if (seen) sluice::Written(fd, static_cast<uint64_t>(at), &part, 1, written);
  return written;
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  SLUICE_REAL(pwrite);
  const std::lock_guard lock(State().mu);
  const ssize_t written = real(fd, data, size, offset);
  const iovec part{const_cast<void*>(data), size};
  sluice::Written(fd, static_cast<uint64_t>(offset), &part, 1, written);
  return written;
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  SLUICE_REAL(pwritev);
  const std::lock_guard lock(State().mu);
  const ssize_t written = real(fd, parts, count, offset);
  sluice::Written(fd, static_cast<uint64_t>(offset), parts, count, written);
  return written;
}

int fsync(int fd) {
  SLUICE_REAL(fsync);
  return sluice::Synced(fd) ? 0 : real(fd);
}

int fdatasync(int fd) {
  SLUICE_REAL(fdatasync);
  return sluice::Synced(fd) ? 0 : real(fd);
}

int ftruncate(int fd, off_t size) noexcept {
  SLUICE_REAL(ftruncate);
  const std::lock_guard lock(State().mu);
  const int result = real(fd, size);
  if (result == 0) sluice::Sized(fd, DiskOp::Kind::kResize, static_cast<uint64_t>(size));
  return result;
}

int posix_fallocate(int fd, off_t offset, off_t size) {
  SLUICE_REAL(posix_fallocate);
  const std::lock_guard lock(State().mu);
  const int result = real(fd, offset, size);
  if (result == 0) sluice::Sized(fd, DiskOp::Kind::kGrow, static_cast<uint64_t>(offset + size));
  return result;
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  SLUICE_REAL(fallocate);
  const std::lock_guard lock(State().mu);
  const int result = real(fd, mode, offset, size);
  if (result == 0 && mode == 0)
    sluice::Sized(fd, DiskOp::Kind::kGrow, static_cast<uint64_t>(offset + size));
  return result;
}

int rename(const char* from, const char* to) noexcept {
  SLUICE_REAL(rename);
  sluice::Recording& state = State();
  const std::lock_guard lock(state.mu);
  const int result = real(from, to);
  if (result != 0 || !state.Sees(from)) return result;
  state.Add({.kind = DiskOp::Kind::kRename, .name = from, .to = to});
  if (auto it = state.by_path.extract(std::string(from)); !it.empty())
    state.by_path[to] = it.mapped();
  return result;
}

int link(const char* from, const char* to) noexcept {
  SLUICE_REAL(link);
  sluice::Recording& state = State();
  const std::lock_guard lock(state.mu);
  const int result = real(from, to);
  if (result != 0 || !state.Sees(to)) return result;
  state.Add({.kind = DiskOp::Kind::kLink, .name = from, .to = to});
  if (auto it = state.by_path.find(from); it != state.by_path.end()) state.by_path[to] = it->second;
  return result;
}

int unlink(const char* path) noexcept {
  SLUICE_REAL(unlink);
  const std::lock_guard lock(State().mu);
  const int result = real(path);
  if (result == 0) sluice::Removed(path);
  return result;
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  SLUICE_REAL(unlinkat);
  const std::lock_guard lock(State().mu);
  const int result = real(folder, path, flags);
  if (result == 0) sluice::Removed(sluice::PathIn(folder, path));
  return result;
}

int rmdir(const char* path) noexcept {
  SLUICE_REAL(rmdir);
  const std::lock_guard lock(State().mu);
  const int result = real(path);
  if (result == 0) sluice::Removed(path);
  return result;
}

int mkdir(const char* path, mode_t mode) noexcept {
  SLUICE_REAL(mkdir);
  const std::lock_guard lock(State().mu);
  const int result = real(path, mode);
  if (result == 0 && State().Sees(path))
    State().Add({.kind = DiskOp::Kind::kMakeFolder, .name = path});
  return result;
}

}  // extern "C"
