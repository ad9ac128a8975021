#include "server/base/file_watch.h"

#include <sys/stat.h>

namespace sluice::server {
namespace {

int64_t Nanos(const timespec& time) {
  constexpr int64_t kPerSecond = 1'000'000'000;
  return time.tv_sec * kPerSecond + time.tv_nsec;
}

}  // namespace

FileId FileId::Of(const std::string& path) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return {};
  return {found.st_dev, found.st_ino, found.st_size, Nanos(found.st_mtim), Nanos(found.st_ctim)};
}

bool FileWatch::Changed(const std::vector<std::string>& paths) {
  bool changed = false;
  for (const std::string& path : paths) {
    const FileId now = FileId::Of(path);
    const auto [it, is_new] = files_.try_emplace(path, Seen{now, now});
    Seen& seen = it->second;
    if (now != seen.known && now == seen.last) {
      seen.known = now;
      changed = true;
    }
    seen.last = now;
  }
  return changed;
}

}  // namespace sluice::server
