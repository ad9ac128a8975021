// The view: what must be found again without reading the journal through, in RocksDB. It is written at checkpoints only,
// and says which journal position it reflects; what came later is replayed from the journal on opening. So it needs no
// log of its own, and a crash leaves it as it was at the last checkpoint.
//
//   auto view = View::Open("data/view");
//   View::Contents contents = *(*view)->Load();
//   std::vector<BatchLocation> found = *(*view)->Find(topic, Offset(7), 100);
//   (*view)->Write(checkpoint);
//
// Keys (docs/format.md): 'b' topic first-offset, 't' topic, 's' subscription, 'm' meta; numbers in them big-endian.
//
// Thread rule: Find and OffsetAt from any thread; Load, Write and LinkTo by one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/storage/backend.h"
#include "core/storage/local/batch_index.h"

namespace rocksdb {
class DB;
}

namespace sluice {

inline constexpr uint64_t kViewVersion = 2;

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

  static absl::StatusOr<std::unique_ptr<View>> Open(const std::string& folder);
  // For Load and Find alone; changes nothing in the folder. The view must be there.
  static absl::StatusOr<std::unique_ptr<View>> OpenToRead(const std::string& folder);
  ~View();

  absl::StatusOr<Contents> Load() const;

  // Up to `limit` batches from the one that holds `from` on.
  absl::StatusOr<std::vector<BatchLocation>> Find(TopicId topic, Offset from, size_t limit) const;
  // The first batch in [from, end) published at `time_us` or later; times are taken to grow with offsets.
  absl::StatusOr<std::optional<Offset>> OffsetAt(TopicId topic, int64_t time_us, Offset from, Offset end) const;

  // All or nothing, and durable.
  absl::Status Write(const Checkpoint& checkpoint);
  // Makes `folder`, a view that is as this one was last written: a new folder on the same file system, whose larger files are
  // this one's.
  absl::Status LinkTo(const std::string& folder);

 private:
  explicit View(std::unique_ptr<rocksdb::DB> db);

  const std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace sluice
