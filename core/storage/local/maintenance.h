// What the local store does beside serving: checkpoints, state snapshots and, after those, deleting
// segments in which nothing is alive, appending again what is alive in segments that are mostly
// dead, keeping a spare segment.
//
// Thread rule: one thread of its own, or RunOnce by hand while that was not started; Checkpoint and
// what backups need from any thread. Stop waits for what is running.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/storage/local/local_catalogue.h"

namespace sluice {

struct MaintenanceOptions {
  // A checkpoint after this much journal, or this many batches known from memory alone.
  uint64_t checkpoint_bytes = uint64_t{128} << 20;
  size_t checkpoint_batches = 200'000;
  // And after this time, when it lets a segment go.
  absl::Duration reclaim_interval = absl::Seconds(5);
  // A segment with a smaller share alive is given up.
  double min_live_share = 0.25;
};

class Maintenance {
 public:
  // `snapshot_due`: segments were deleted, and there was no state snapshot.
  Maintenance(LogContext& context, LocalCatalogue& catalogue, const Clock& clock,
              JournalPosition checkpoint, bool snapshot_due, MaintenanceOptions options)
      : context_(context),
        catalogue_(catalogue),
        clock_(clock),
        options_(options),
        snapshot_due_(snapshot_due),
        checkpoint_(checkpoint) {}
  ~Maintenance() { Stop(); }

  void Start();
  void Stop() EXCLUDES(mu_);

  // Whatever is due. A checkpoint that fails is told of, and tried again after 1 s, 2 s, ... a
  // minute.
  void RunOnce() EXCLUDES(mu_);
  // Puts everything into the view.
  absl::Status Checkpoint() EXCLUDES(mu_);

  // The same, and gives the view as it is then a second name, `view_copy`, a new folder on the same
  // file system. From now on no segment goes away, until KeepFrom says which may. One backup at a
  // time.
  absl::Status BeginBackup(const std::string& view_copy) EXCLUDES(mu_);
  // Those below `segment` may.
  void KeepFrom(uint64_t segment) { keep_from_.store(segment, std::memory_order_release); }
  void EndBackup() { KeepFrom(kKeepNothing); }

 private:
  static constexpr uint64_t kKeepNothing = UINT64_MAX;

  // One at a time works on segments and view. Not a mutex, since others' callbacks may come
  // meanwhile: who is the first to append writes for those behind it as well.
  class Turn {
   public:
    explicit Turn(Maintenance& of);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Maintenance& of_;
  };

  void ThreadMain() EXCLUDES(mu_);
  absl::Status CheckpointNow();
  absl::Status WriteCheckpoint();
  void TellCheckpoint(const absl::Status& status);
  // Once a minute at the most.
  void TellFailed(const absl::Status& status);
  bool CheckpointDue() const;
  // Those that were dead at the last checkpoint: what died since is alive in the view, and would be
  // after a crash.
  void RemoveDeadSegments();
  std::vector<uint64_t> RemovableSegments() const;
  // Whether segments may go now.
  bool WriteSnapshot();
  std::vector<uint64_t> DeadSegments() const;
  void RelocateOne();
  bool Relocate(LocalLog& log, const std::shared_ptr<LocalLog>& owner, uint64_t segment);

  LogContext& context_;
  LocalCatalogue& catalogue_;
  const Clock& clock_;
  const MaintenanceOptions options_;
  std::thread thread_;

  // Segments from here on stay, for a backup.
  std::atomic<uint64_t> keep_from_{kKeepNothing};

  // Belong to whoever has the turn.
  bool snapshot_due_;
  // Of the last state snapshot.
  uint64_t snapshot_bytes_ = 0;
  JournalPosition checkpoint_;
  Instant checkpoint_time_;
  // Since the last one that was made, and when to try again.
  int failed_checkpoints_ = 0;
  Instant next_checkpoint_;
  Instant next_told_;
  std::vector<uint64_t> dead_at_checkpoint_;
  // Those of them that a state snapshot needs no more.
  std::vector<uint64_t> spent_;
  // The segment whose live batches were appended again last.
  uint64_t relocated_ = 0;

  Mutex mu_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mu_) = false;
  CondVar turn_over_;
  bool taken_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
