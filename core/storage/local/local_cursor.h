// The progress of one subscription in the local store. Changes collect here and go into the journal
// as one record with the next commit; the whole state goes into the view at checkpoints.
//
// Thread rule: as Cursor says; the journal's calls come from the committer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "core/storage/backend.h"
#include "core/storage/local/codec.h"
#include "core/storage/local/committer.h"
#include "core/storage/local/view/view.h"

namespace sluice {

class LocalCursor final : public Cursor,
                          public DirtySource,
                          public JournalTarget,
                          public std::enable_shared_from_this<LocalCursor> {
 public:
  LocalCursor(Committer& committer, View::SubscriptionState state);

  CursorState state() const override EXCLUDES(mu_);
  void Ack(absl::Span<const OffsetRange> ranges, StoreDone done) override EXCLUDES(mu_);
  void Failed(OffsetRange range, uint32_t failures) override EXCLUDES(mu_);
  void Leased(absl::Span<const SavedLease> leases) override EXCLUDES(mu_);
  void Seek(CursorState state, StoreDone done) override EXCLUDES(mu_);

  JournalEntry TakeChanges() override EXCLUDES(mu_);
  void BeforeWrite(JournalEntry&) override {}
  void AfterWrite(const JournalEntry& entry, const absl::Status& status,
                  const JournalPosition& at) override EXCLUDES(mu_);

  // Acknowledged by a record that is in the journal.
  void Acked(std::vector<OffsetRange> ranges) EXCLUDES(mu_);
  // Met while the journal is replayed.
  void Replayed(const CursorDelta& delta) EXCLUDES(mu_);
  void Replayed(CursorState state) EXCLUDES(mu_);

  SubscriptionId id() const { return id_; }
  std::string config() const EXCLUDES(mu_);
  void SetConfig(std::string config) EXCLUDES(mu_);
  bool changed() const EXCLUDES(mu_);
  View::SubscriptionState BeginCheckpoint() EXCLUDES(mu_);
  void CheckpointDone(bool written) EXCLUDES(mu_);

 private:
  // What the committer is to be told of a change: that there is one, or that what it knows of is
  // more urgent.
  enum class News { kNone, kChanged, kMoreUrgent };
  News NoteChange(Urgency urgency) REQUIRES(mu_);
  void Report(News news, Urgency urgency) EXCLUDES(mu_);

  Committer& committer_;
  const SubscriptionId id_;

  mutable Mutex mu_;
  std::string config_ GUARDED_BY(mu_);
  CursorState state_ GUARDED_BY(mu_);
  // Not in the journal yet, and who waits for it to be.
  CursorDelta pending_ GUARDED_BY(mu_);
  std::vector<StoreDone> waiting_ GUARDED_BY(mu_);
  // What the committer was told, until it takes the changes.
  std::optional<Urgency> reported_ GUARDED_BY(mu_);
  // Changes were taken and then not written, on a full disk.
  bool refused_ GUARDED_BY(mu_) = false;
  // Not in the view yet.
  bool changed_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
