// Notices that files have changed, without being told by anyone: looks at them now and then.
//
//   FileWatch watch;
//   watch.Settle("sluice.yaml", id);                          // as it was when it was read
//   if (watch.Changed({"sluice.yaml", "tls.crt"})) ...         // once a second
//
// A change is told once it has been there for two looks, so that a file that is being written is
// left in peace. The file is looked at where its path leads, whatever links are on the way:
// Kubernetes changes the files of a config map by exchanging a link to their folder. One that is
// gone counts as changed, and so does one that is there again.
//
// Thread rule: a plain object.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice::server {

// Which file it is, and in which state; all 0 where there is none.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  bool operator==(const FileId&) const = default;

  static FileId Of(const std::string& path);
};

class FileWatch {
 public:
  // This is what is known of the file.
  void Settle(const std::string& path, const FileId& id) { files_[path] = {id, id}; }
  // Whether one of them is other than it was known to be; then that is known. A path that is new to
  // it is taken as it is.
  bool Changed(const std::vector<std::string>& paths);

 private:
  struct Seen {
    FileId known;
    FileId last;
  };

  std::map<std::string, Seen> files_;
};

}  // namespace sluice::server
