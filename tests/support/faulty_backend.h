// A store around another one that can be told to fail its appends, to let them hang, or that
// messages are damaged; the rest goes through.
//
//   FaultyBackend::Switch faults;
//   auto backend = std::make_unique<FaultyBackend>(std::make_unique<MemoryBackend>(), faults);
//   faults.FailWith(Error(Reason::kStorageUnavailable, "broken"));
//   faults.Stall();  ...  faults.Resume();
//   faults.Damage({OffsetRange{Offset(3), Offset(5)}});   // of every topic; whole batches
//
// Thread rule: every member may be called from any thread; the switch outlives the backend.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/mutex.h"
#include "core/storage/backend.h"
#include "core/storage/damage.h"

namespace sluice {

class FaultyBackend final : public Backend {
 public:
  class Switch {
   public:
    void FailWith(absl::Status status) EXCLUDES(mu_) {
      MutexLock lock(mu_);
      failure_ = std::move(status);
    }
    void Heal() { FailWith(absl::OkStatus()); }
    // Appends neither reach the store nor come back, until Resume hands them on.
    void Stall() EXCLUDES(mu_) {
      MutexLock lock(mu_);
      stalling_ = true;
    }
    void Resume() EXCLUDES(mu_) {
      std::vector<Stalled> stalled;
      {
        MutexLock lock(mu_);
        stalling_ = false;
        stalled.swap(stalled_);
      }
      for (auto& [append, done] : stalled) append(std::move(done));
    }
    // From the next read on; in place of what was damaged before.
    void Damage(std::vector<OffsetRange> messages) EXCLUDES(mu_) {
      MutexLock lock(mu_);
      damaged_ = std::move(messages);
    }
    void RefuseReads(absl::Status status) EXCLUDES(mu_) {
      MutexLock lock(mu_);
      read_failure_ = std::move(status);
    }
    // Reads that damage refused.
    int refused_reads() const EXCLUDES(mu_) {
      MutexLock lock(mu_);
      return refused_reads_;
    }
    // Appends that were tried, whatever became of them.
    int appends() const EXCLUDES(mu_) {
      MutexLock lock(mu_);
      return appends_;
    }

   private:
    friend class FaultyBackend;

    using RealAppend = Callback<void(StoreDone)>;
    struct Stalled {
      RealAppend append;
      StoreDone done;
    };

    void Append(RealAppend append, StoreDone done) EXCLUDES(mu_) {
      absl::Status failure;
      {
        MutexLock lock(mu_);
        ++appends_;
        if (stalling_) return stalled_.push_back({std::move(append), std::move(done)});
        failure = failure_;
      }
      failure.ok() ? append(std::move(done)) : done(failure);
    }

    // What a store with this damage says to a read that has found `read`.
    absl::StatusOr<std::vector<Ref<Batch>>> Spoil(std::vector<Ref<Batch>> read) EXCLUDES(mu_) {
      MutexLock lock(mu_);
      if (!read_failure_.ok()) return read_failure_;
      for (const OffsetRange& lost : damaged_) {
        const auto spoilt = std::find_if(read.begin(), read.end(), [&](const Ref<Batch>& batch) {
          return batch->first() < lost.end && lost.begin < batch->end();
        });
        if (spoilt == read.begin() && spoilt != read.end()) {
          ++refused_reads_;
          return DamageError("projects/test/topics/orders", lost, "7.journal", 4096);
        }
        read.erase(spoilt, read.end());
      }
      return read;
    }

    mutable Mutex mu_;
    absl::Status failure_ GUARDED_BY(mu_);
    bool stalling_ GUARDED_BY(mu_) = false;
    std::vector<Stalled> stalled_ GUARDED_BY(mu_);
    int appends_ GUARDED_BY(mu_) = 0;
    std::vector<OffsetRange> damaged_ GUARDED_BY(mu_);
    absl::Status read_failure_ GUARDED_BY(mu_);
    int refused_reads_ GUARDED_BY(mu_) = 0;
  };

  FaultyBackend(std::unique_ptr<Backend> real, Switch& faults)
      : real_(std::move(real)), faults_(faults) {}

  Catalogue& catalogue() override { return real_->catalogue(); }
  std::shared_ptr<TopicLog> OpenLog(TopicId id) override {
    return std::make_shared<FaultyLog>(real_->OpenLog(id), faults_);
  }
  std::shared_ptr<Cursor> OpenCursor(SubscriptionId id) override { return real_->OpenCursor(id); }
  BackendStats stats() const override { return real_->stats(); }
  absl::Status Close() override { return real_->Close(); }
  std::string_view durability() const override { return real_->durability(); }

 private:
  class FaultyLog final : public TopicLog {
   public:
    FaultyLog(std::shared_ptr<TopicLog> real, Switch& faults)
        : real_(std::move(real)), faults_(faults) {}

    LogExtent extent() const override { return real_->extent(); }
    void Append(Ref<Batch> batch, StoreDone done) override {
      faults_.Append(
          [real = real_, batch](StoreDone stored) { real->Append(batch, std::move(stored)); },
          std::move(done));
    }
    void AppendAndAck(Ref<Batch> batch, std::shared_ptr<Cursor> source,
                      std::vector<OffsetRange> ranges, StoreDone done) override {
      faults_.Append(
          [real = real_, batch, source, ranges](StoreDone stored) {
            real->AppendAndAck(batch, source, ranges, std::move(stored));
          },
          std::move(done));
    }
    absl::StatusOr<std::optional<OffsetRange>> FindProduced(const ProducerTag& tag) const override {
      return real_->FindProduced(tag);
    }
    void Read(Offset from, size_t max_bytes, ReadDone done) override {
      real_->Read(from, max_bytes,
                  [this, done = std::move(done)](absl::StatusOr<std::vector<Ref<Batch>>> read) {
                    done(read.ok() ? faults_.Spoil(*std::move(read)) : std::move(read));
                  });
    }
    void OffsetAt(absl::Time time, OffsetDone done) override {
      real_->OffsetAt(time, std::move(done));
    }
    void Trim(Offset before) override { real_->Trim(before); }

   private:
    const std::shared_ptr<TopicLog> real_;
    Switch& faults_;
  };

  const std::unique_ptr<Backend> real_;
  Switch& faults_;
};

}  // namespace sluice
