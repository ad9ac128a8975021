// The view: what must be found again without reading the journal through, in RocksDB. It is written
// at checkpoints only, and says which journal position it reflects; what came later is replayed
// from the journal on opening. So it needs no log of its own, and a crash leaves it as it was at
// the last checkpoint.
//
//   auto view = View::Open("data/view");
//   View::Contents contents = *(*view)->Load();
//   std::vector<BatchLocation> found = *(*view)->Find(topic, Offset(7), 100);
//   (*view)->Write(checkpoint);
//
// After a write that failed RocksDB takes no more until it is opened again: the next Write does
// that. Where it cannot, as on a full disk, what was written before can still be read.
//
// Keys (docs/format.md): 'b' topic first-offset, 't' topic, 's' subscription, 'm' meta; numbers in
// them big-endian.
//
// Thread rule: Find and OffsetAt from any thread; Load, Write and LinkTo by one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/storage/backend.h"
#include "core/storage/local/batch_index.h"

namespace rocksdb {
class DB;
class Env;
}  // namespace rocksdb

namespace sluice {

inline constexpr uint64_t kViewVersion = 2;

struct ViewOptions {
  // Told in RocksDB's words what it warns of and what fails; may be null. Called from any thread,
  // also under RocksDB's locks: it must not call the view. RocksDB writes no log file.
  std::function<void(std::string_view)> on_warning = nullptr;
  // The machine's own when null.
  rocksdb::Env* env = nullptr;
};

class View {
 public:
  struct TopicState {
    TopicId id;
    std::string config;
    Offset floor{1};
    Offset next{1};
    std::vector<Span> spans;
    ProducerWindows producers;
    // Whether there may be batches of it below the floor; not kept.
    bool has_batches = true;
  };
  struct SubscriptionState {
    SubscriptionId id;
    std::string config;
    CursorState cursor;
  };
  struct Contents {
    JournalPosition position;
    uint64_t next_id = 1;
    std::vector<TopicState> topics;
    std::vector<SubscriptionState> subscriptions;
  };
  // What changed since the last checkpoint.
  struct Checkpoint {
    JournalPosition position;
    uint64_t next_id = 1;
    std::vector<TopicState> topics;
    std::vector<std::pair<TopicId, std::vector<BatchLocation>>> batches;
    std::vector<SubscriptionState> subscriptions;
    std::vector<TopicId> removed_topics;
    std::vector<SubscriptionId> removed_subscriptions;
  };

  // On a full disk a view that is there opens all the same, to be read; Write tries again.
  static absl::StatusOr<std::unique_ptr<View>> Open(const std::string& folder,
                                                    ViewOptions options = {});
  // For Load and Find alone; changes nothing in the folder. The view must be there.
  static absl::StatusOr<std::unique_ptr<View>> OpenToRead(const std::string& folder);
  ~View();
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  // Reads all of it: DATA_LOSS when its own checksums find damage.
  absl::Status Check() const;
  absl::StatusOr<Contents> Load() const;

  // Up to `limit` batches from the one that holds `from` on.
  absl::StatusOr<std::vector<BatchLocation>> Find(TopicId topic, Offset from, size_t limit) const;
  // The first batch in [from, end) published at `time_us` or later; times are taken to grow with
  // offsets.
  absl::StatusOr<std::optional<Offset>> OffsetAt(TopicId topic, int64_t time_us, Offset from,
                                                 Offset end) const;

  // All or nothing, and durable. After an error it is as after a crash: as it was last written, or
  // with parts of this.
  absl::Status Write(const Checkpoint& checkpoint) EXCLUDES(mu_);
  // Makes `folder`, a view that is as this one was last written: a new folder on the same file
  // system, whose larger files are this one's.
  absl::Status LinkTo(const std::string& folder);

 private:
  // Keeps the database from being closed while it is read.
  class Reading;

  View(std::string folder, ViewOptions options);

  absl::Status OpenToWrite() EXCLUDES(mu_);
  absl::Status OpenReadOnly() EXCLUDES(mu_);
  absl::Status Reopen() EXCLUDES(mu_);
  // Nobody reads any more, and nobody begins until SetDatabase.
  void CloseDatabase() EXCLUDES(mu_);
  void SetDatabase(rocksdb::DB* db) EXCLUDES(mu_);
  absl::Status WriteNow(const Checkpoint& checkpoint);
  // Something that ran beside the writes, such as a compaction, failed.
  bool FailedInBackground() const EXCLUDES(mu_);

  const std::string folder_;
  const ViewOptions options_;

  // Belong to whoever writes. Whether RocksDB takes writes; it does not after one that failed.
  bool takes_writes_ = false;

  mutable Mutex mu_;
  mutable CondVar changed_;
  // Null after it could not be opened again.
  std::unique_ptr<rocksdb::DB> db_ GUARDED_BY(mu_);
  mutable int readers_ GUARDED_BY(mu_) = 0;
  bool closing_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
