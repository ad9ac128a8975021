// The log of one topic in the local store: which batches it has and where. New batches are known
// from memory until the next checkpoint puts them into the view; what is older is found there.
//
// Thread rule: as TopicLog says. BeforeWrite and AfterWrite are called by the committer, one thread
// at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "core/base/mutex.h"
#include "core/base/queue.h"
#include "core/storage/backend.h"
#include "core/storage/local/batch_index.h"
#include "core/storage/local/committer.h"
#include "core/storage/local/reader_pool.h"
#include "core/storage/local/segment_use.h"
#include "core/storage/local/store_event.h"
#include "core/storage/local/view/view.h"

namespace sluice {

// What all logs of a store share.
struct LogContext {
  Journal& journal;
  View& view;
  Committer& committer;
  ReaderPool& readers;
  SegmentUse& use;
  StoreMetrics& metrics;
  // Of the journal that cannot be read: found by opening the store, and by reading since.
  std::atomic<uint64_t>& damaged_places;
  // May be null.
  StoreListener on_event = nullptr;

  void Tell(const StoreEvent& event) const {
    if (on_event) on_event(event);
  }
};

class LocalLog final : public TopicLog,
                       public JournalTarget,
                       public std::enable_shared_from_this<LocalLog> {
 public:
  LocalLog(LogContext& context, View::TopicState state);
  ~LocalLog() override;

  TopicId id() const { return id_; }

  LogExtent extent() const override EXCLUDES(mu_);
  void Append(Ref<Batch> batch, StoreDone done) override;
  void AppendAndAck(Ref<Batch> batch, std::shared_ptr<Cursor> source,
                    std::vector<OffsetRange> ranges, StoreDone done) override;
  absl::StatusOr<std::optional<OffsetRange>> FindProduced(const ProducerTag& tag) const override
      EXCLUDES(mu_);
  void Read(Offset from, size_t max_bytes, ReadDone done) override;
  void OffsetAt(absl::Time time, OffsetDone done) override;
  void Trim(Offset before) override EXCLUDES(mu_);

  void BeforeWrite(JournalEntry& entry) override EXCLUDES(mu_);
  void AfterWrite(const JournalEntry& entry, const absl::Status& status,
                  const JournalPosition& at) override EXCLUDES(mu_);

  // A batch record met while the journal is replayed, or a stretch of it that is lost.
  void Replayed(const RecordHeader& header, const JournalPosition& at, int64_t publish_time_us)
      EXCLUDES(mu_);
  void ReplayedProducer(const ProducerTag& tag, OffsetRange offsets) EXCLUDES(mu_);
  void ReplayedDamage(Offset first, uint32_t count, const JournalPosition& at) EXCLUDES(mu_);
  // A state snapshot met while it is.
  void ReplayedExtent(Offset floor, ProducerWindows producers) EXCLUDES(mu_);
  // All of it was found in the journal, by a rebuild of the view: `batches` in order, each once.
  // What is missing in [floor, next) is lost.
  void Rebuilt(Offset floor, Offset next, const std::vector<BatchLocation>& batches) EXCLUDES(mu_);
  void ReplayEnded() EXCLUDES(mu_);
  // The offset the next batch gets.
  Offset next() const EXCLUDES(mu_);

  std::string config() const EXCLUDES(mu_);
  // A lost one (config_name.h): everything is kept, and DATA_LOSS, until a config is put.
  void SetConfig(std::string config) EXCLUDES(mu_);
  // For a state snapshot, which needs no spans.
  View::TopicState state() const EXCLUDES(mu_);
  // Whether there is anything a checkpoint should save.
  bool changed() const EXCLUDES(mu_);
  // What a checkpoint saves, and the batches it puts into the view; they stay known here until
  // CheckpointDone.
  View::TopicState BeginCheckpoint(std::vector<BatchLocation>* batches) EXCLUDES(mu_);
  void CheckpointDone(bool written) EXCLUDES(mu_);
  // Batches known here only.
  size_t unsaved() const EXCLUDES(mu_);

  // Nothing of it is needed any more.
  void Remove() EXCLUDES(mu_);
  bool removed() const EXCLUDES(mu_);

  // Live batches that lie in `segment`.
  absl::StatusOr<std::vector<BatchLocation>> BatchesIn(uint64_t segment) const EXCLUDES(mu_);
  // Reads one; blocks.
  absl::StatusOr<Ref<Batch>> ReadBatch(const BatchLocation& batch) const EXCLUDES(mu_);

 private:
  class AppendAndAckTarget;

  void TellReadFailed(const absl::Status& status) const EXCLUDES(mu_);
  // Whether there is any in it that was not known before.
  bool Know(OffsetRange damaged) const REQUIRES(mu_);
  absl::Status CheckConfig() const EXCLUDES(mu_);
  // The topic's name, for errors.
  std::string name() const EXCLUDES(mu_);
  absl::Status Damaged(const BatchLocation& batch) const EXCLUDES(mu_);
  absl::StatusOr<Ref<Batch>> BatchFrom(std::string_view bytes, const BatchLocation& location) const
      EXCLUDES(mu_);
  absl::StatusOr<std::vector<Ref<Batch>>> ReadNow(Offset from, size_t max_bytes) const
      EXCLUDES(mu_);
  absl::StatusOr<std::vector<Ref<Batch>>> ReadLocated(Offset from, size_t max_bytes) const
      EXCLUDES(mu_);
  absl::StatusOr<Ref<Batch>> ReadRecord(const BatchLocation& batch) const EXCLUDES(mu_);
  absl::Status DamagedFrom(const std::vector<BatchLocation>& located, size_t at) const
      EXCLUDES(mu_);
  static size_t NeighboursEnd(const std::vector<BatchLocation>& located, size_t begin,
                              bool is_first, size_t max_bytes, size_t* total, uint64_t* bytes);
  absl::StatusOr<std::vector<BatchLocation>> Locate(Offset from, size_t limit) const EXCLUDES(mu_);
  absl::StatusOr<std::optional<Offset>> OffsetAtNow(int64_t time_us) const EXCLUDES(mu_);
  void Add(const BatchLocation& batch) REQUIRES(mu_);
  void Move(const BatchLocation& batch) REQUIRES(mu_);
  uint64_t LiveBytes() const REQUIRES(mu_);

  LogContext& context_;
  const TopicId id_;

  mutable Mutex mu_;
  std::string config_ GUARDED_BY(mu_);
  bool config_lost_ GUARDED_BY(mu_) = false;
  Offset floor_ GUARDED_BY(mu_);
  Offset next_ GUARDED_BY(mu_);
  // next_ with what is being written.
  Offset writing_next_ GUARDED_BY(mu_);
  ProducerWindows producers_ GUARDED_BY(mu_);
  // A few for each segment: what goes at the front goes for many batches at once. This and recent_
  // take no memory while they are empty, as they are for most of many topics.
  std::vector<Span> spans_ GUARDED_BY(mu_);
  // In offset order: what the view does not have, the first `saving_` of it on the way there.
  Queue<BatchLocation> recent_ GUARDED_BY(mu_);
  size_t saving_ GUARDED_BY(mu_) = 0;
  // Batches of the view that lie elsewhere by now; of those, what is on the way there.
  absl::btree_map<Offset, BatchLocation> moved_ GUARDED_BY(mu_);
  std::vector<BatchLocation> saving_moved_ GUARDED_BY(mu_);
  // The view may hold batches of it. Those of a topic whose messages do not wait for long never get
  // there.
  bool in_view_ GUARDED_BY(mu_) = false;
  // Seems to have been the last batch, and cannot be read.
  std::optional<BatchLocation> lost_ GUARDED_BY(mu_);
  // Damaged messages that were counted already; null while there are none, as in nearly every
  // topic.
  mutable std::unique_ptr<AckSet> damaged_ GUARDED_BY(mu_);
  bool changed_ GUARDED_BY(mu_) = false;
  bool removed_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
