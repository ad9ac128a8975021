// Collects, while the whole journal is replayed, what a view that is gone knew: where each batch
// is, wherever it was moved to, and what the last complete state snapshot (state_snapshot.h) says
// of topics. Records in front of that snapshot count for their batches alone: of topics and
// subscriptions the snapshot names all there were, while of what made and removed them parts may
// have been deleted.
//
// Thread rule: one thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/storage/backend.h"
#include "core/storage/local/batch_index.h"

namespace sluice {

class ViewRebuild {
 public:
  struct Ids {
    std::set<TopicId> topics;
    std::set<SubscriptionId> subscriptions;
  };
  struct Extent {
    Offset floor{1};
    Offset next{1};
  };

  void Batch(TopicId topic, const BatchLocation& batch);
  // Of a batch that cannot be read nothing is sure but that it follows the one before it.
  void DamagedBatch(TopicId topic, const BatchLocation& batch);
  void RemoveTopic(TopicId topic);
  // As a state snapshot says.
  void SetExtent(TopicId topic, Extent extent);

  // A snapshot begins, with these being there.
  void BeginSnapshot(JournalPosition at, Ids there);
  // A record names these.
  void Confirm(TopicId topic) { unconfirmed_.topics.erase(topic); }
  void Confirm(SubscriptionId subscription) { unconfirmed_.subscriptions.erase(subscription); }
  // Something cannot be read: a snapshot that is under way is not complete.
  void Damaged() { begun_.reset(); }
  // The snapshot ends that began there: what was there then and it did not name is gone. Nothing
  // when it is not complete.
  std::optional<Ids> EndSnapshot(JournalPosition begun);
  // Topics of which there are batches.
  std::vector<TopicId> Topics() const;

  // Everything from this segment on must be there: where the last complete snapshot began, or the
  // first.
  uint64_t base() const { return base_; }
  Extent extent(TopicId topic) const;
  // In the order of their offsets, each once.
  std::vector<BatchLocation> Take(TopicId topic);

 private:
  std::map<TopicId, std::vector<BatchLocation>> batches_;
  std::map<TopicId, Extent> extents_;
  // Where the next new batch of a topic begins.
  std::map<TopicId, Offset> ends_;
  std::optional<JournalPosition> begun_;
  Ids unconfirmed_;
  uint64_t base_ = 1;
};

}  // namespace sluice
