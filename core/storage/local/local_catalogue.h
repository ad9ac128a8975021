// What exists in the local store: its logs and cursors by id. Changes go through the journal and
// take effect, in its order, when they are written.
//
// Thread rule: as Catalogue says; the journal's calls come from the committer.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "core/storage/backend.h"
#include "core/storage/local/local_cursor.h"
#include "core/storage/local/local_log.h"
#include "core/storage/local/rebuild.h"

namespace sluice {

class LocalCatalogue final : public Catalogue,
                             public JournalTarget,
                             public std::enable_shared_from_this<LocalCatalogue> {
 public:
  explicit LocalCatalogue(LogContext& context) : context_(context) {}

  absl::StatusOr<Contents> Load() override EXCLUDES(mu_);
  uint64_t NewId() override EXCLUDES(mu_);
  void PutTopic(TopicRecord record, StoreDone done) override;
  void RemoveTopic(TopicId id, StoreDone done) override;
  void PutSubscription(SubscriptionRecord record, const CursorState* initial,
                       StoreDone done) override;
  void RemoveSubscription(SubscriptionId id, StoreDone done) override;

  void BeforeWrite(JournalEntry&) override {}
  void AfterWrite(const JournalEntry& entry, const absl::Status& status,
                  const JournalPosition& at) override EXCLUDES(mu_);

  // What the view holds, and then each record behind it. DATA_LOSS for a record that cannot be
  // understood.
  void Restore(const View::Contents& contents) EXCLUDES(mu_);
  absl::Status Replayed(const JournalPosition& at, const RecordHeader& header,
                        std::string_view payload) EXCLUDES(mu_);
  // Between the two everything is replayed, from the first record on, since there is no view: what
  // it would know is made anew. The segment from which on none may be missing for that.
  void BeginRebuild() EXCLUDES(mu_);
  uint64_t FinishRebuild() EXCLUDES(mu_);
  // A record that cannot be read; says what it seems to have been.
  std::string ReplayedDamage(uint64_t segment, const DamagedStretch& stretch) EXCLUDES(mu_);

  // Null when there is none.
  std::shared_ptr<LocalLog> Log(TopicId id) const EXCLUDES(mu_);
  std::shared_ptr<LocalCursor> CursorOf(SubscriptionId id) const EXCLUDES(mu_);
  std::vector<std::shared_ptr<LocalLog>> Logs() const EXCLUDES(mu_);
  std::vector<std::shared_ptr<LocalCursor>> Cursors() const EXCLUDES(mu_);
  // The id that is given next.
  uint64_t next_id() const EXCLUDES(mu_);

  // Everything that changed since the last one; positions are the caller's.
  View::Checkpoint BeginCheckpoint() EXCLUDES(mu_);
  void CheckpointDone(const View::Checkpoint& checkpoint, bool written) EXCLUDES(mu_);

 private:
  absl::Status ReplayedBatch(const JournalPosition& at, const RecordHeader& header,
                             std::string_view payload) EXCLUDES(mu_);
  absl::Status ReplayedTopicState(TopicId id, std::string_view payload) EXCLUDES(mu_);
  absl::Status ReplayedSnapshotBegin(const JournalPosition& at, std::string_view payload)
      EXCLUDES(mu_);
  absl::Status ReplayedSnapshotEnd(std::string_view payload) EXCLUDES(mu_);
  std::shared_ptr<LocalLog> LogOfReplayed(TopicId id) EXCLUDES(mu_);
  template <class Name, class Map>
  static std::string NameOfLost(const Map& there, std::string_view config,
                                const std::string& made_up);
  std::string LostTopic(TopicId id, std::string_view config) EXCLUDES(mu_);
  std::optional<std::string> LostSubscription(SubscriptionId id, std::string_view config)
      EXCLUDES(mu_);
  std::string DamagedPutTopic(TopicId id, std::string_view config) EXCLUDES(mu_);
  std::string DamagedPutSubscription(SubscriptionId id, std::string_view payload) EXCLUDES(mu_);
  // A number that nobody was given by now is damaged itself.
  bool CanBeNumber(uint64_t id) const EXCLUDES(mu_);
  void Submit(RecordKind kind, uint64_t id, std::string payload, StoreDone done);
  absl::Status Apply(RecordKind kind, uint64_t id, std::string_view payload) REQUIRES(mu_);
  absl::Status ApplyPutSubscription(SubscriptionId id, std::string_view payload) REQUIRES(mu_);

  LogContext& context_;

  mutable Mutex mu_;
  uint64_t next_id_ GUARDED_BY(mu_) = 1;
  std::map<TopicId, std::shared_ptr<LocalLog>> logs_ GUARDED_BY(mu_);
  std::map<SubscriptionId, std::shared_ptr<LocalCursor>> cursors_ GUARDED_BY(mu_);
  // While the journal is replayed without a view.
  std::unique_ptr<ViewRebuild> rebuild_ GUARDED_BY(mu_);
  // While the journal is replayed: whether something could not be read, and the first id that the
  // view does not know of.
  bool damage_replayed_ GUARDED_BY(mu_) = false;
  uint64_t first_new_id_ GUARDED_BY(mu_) = 1;
  // Gone, but still in the view.
  std::vector<TopicId> removed_topics_ GUARDED_BY(mu_);
  std::vector<SubscriptionId> removed_subscriptions_ GUARDED_BY(mu_);
};

}  // namespace sluice
