#include "tests/model/staged_store.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "tests/support/answer.h"

namespace sluice::model {
namespace {

absl::Status Crashed() { return Error(Reason::kStorageUnavailable, "the store crashed"); }

class StagedCursor final : public Cursor, public std::enable_shared_from_this<StagedCursor> {
 public:
  StagedCursor(SubscriptionId id, std::shared_ptr<Cursor> inner, std::shared_ptr<Stage> stage)
      : id_(id), inner_(std::move(inner)), stage_(std::move(stage)) {}

  SubscriptionId id() const { return id_; }
  const std::shared_ptr<Cursor>& inner() const { return inner_; }

  CursorState state() const override { return inner_->state(); }
  void Ack(absl::Span<const OffsetRange> ranges, StoreDone done) override {
    Do([ranges = std::vector<OffsetRange>(ranges.begin(), ranges.end())](
           Cursor& cursor) { cursor.Ack(ranges, nullptr); },
       std::move(done));
  }
  void Failed(OffsetRange range, uint32_t failures) override {
    Do([range, failures](Cursor& cursor) { cursor.Failed(range, failures); }, nullptr);
  }
  void Leased(absl::Span<const SavedLease> leases) override {
    for (const SavedLease& lease : leases) stage_->hooks().leased(id_, lease);
    Do([leases = std::vector<SavedLease>(leases.begin(), leases.end())](
           Cursor& cursor) { cursor.Leased(leases); },
       nullptr);
  }
  void Seek(CursorState state, StoreDone done) override {
    stage_->hooks().seek_staged(id_, state);
    Do([state = std::move(state)](Cursor& cursor) { cursor.Seek(state, nullptr); },
       [self = shared_from_this(), done = std::move(done)](const absl::Status& status) {
         if (status.ok()) self->stage_->hooks().seek_done(self->id_);
         done(status);
       });
  }

 private:
  // Stages a change; once done it is durable, whatever the store would put off.
  void Do(std::function<void(Cursor&)> change, StoreDone done) {
    stage_->Add([self = shared_from_this(), change = std::move(change),
                 done = std::move(done)](absl::Status status) {
      if (status.ok()) {
        change(*self->inner_);
        Answer<absl::Status> saved;
        self->inner_->Ack({}, saved.callback());
        status = saved.Wait();
      }
      if (done) done(status);
    });
  }

  const SubscriptionId id_;
  const std::shared_ptr<Cursor> inner_;
  const std::shared_ptr<Stage> stage_;
};

class StagedLog final : public TopicLog, public std::enable_shared_from_this<StagedLog> {
 public:
  StagedLog(TopicId id, std::shared_ptr<TopicLog> inner, std::shared_ptr<Stage> stage)
      : id_(id), inner_(std::move(inner)), stage_(std::move(stage)) {}

  LogExtent extent() const override {
    LogExtent extent = inner_->extent();
    extent.first = std::max(extent.first, trimmed_);
    return extent;
  }
  void Append(Ref<Batch> batch, StoreDone done) override {
    stage_->Add([self = shared_from_this(), batch = std::move(batch),
                 done = std::move(done)](absl::Status status) {
      if (status.ok()) {
        status = self->Store(
            batch, [&](StoreDone stored) { self->inner_->Append(batch, std::move(stored)); });
      }
      done(status);
    });
  }
  void AppendAndAck(Ref<Batch> batch, std::shared_ptr<Cursor> source,
                    std::vector<OffsetRange> ranges, StoreDone done) override {
    auto cursor = std::static_pointer_cast<StagedCursor>(std::move(source));
    for (const OffsetRange& range : ranges) stage_->hooks().bury_staged(cursor->id(), range);
    stage_->Add([self = shared_from_this(), batch = std::move(batch), cursor = std::move(cursor),
                 ranges = std::move(ranges), done = std::move(done)](absl::Status status) {
      if (status.ok()) {
        status = self->Store(batch, [&](StoreDone stored) {
          self->inner_->AppendAndAck(batch, cursor->inner(), ranges, std::move(stored));
        });
        for (const OffsetRange& range : ranges) {
          if (!status.ok()) self->stage_->hooks().bury_refused(cursor->id(), range);
        }
      }
      done(status);
    });
  }
  absl::StatusOr<std::optional<OffsetRange>> FindProduced(const ProducerTag& tag) const override {
    return inner_->FindProduced(tag);
  }
  void Read(Offset from, size_t max_bytes, ReadDone done) override {
    stage_->Add([self = shared_from_this(), from, max_bytes,
                 done = std::move(done)](const absl::Status& status) {
      if (!status.ok()) return done(status);
      Answer<absl::StatusOr<std::vector<Ref<Batch>>>> read;
      self->inner_->Read(from, max_bytes, read.callback());
      done(read.Wait());
    });
  }
  void OffsetAt(absl::Time time, OffsetDone done) override {
    stage_->Add(
        [self = shared_from_this(), time, done = std::move(done)](const absl::Status& status) {
          if (!status.ok()) return done(status);
          Answer<absl::StatusOr<Offset>> answer;
          self->inner_->OffsetAt(time, answer.callback());
          absl::StatusOr<Offset> found = answer.Wait();
          if (found.ok()) found = std::max(*found, self->trimmed_);
          done(found);
        });
  }
  void Trim(Offset before) override {
    trimmed_ = std::max(trimmed_, before);
    stage_->Add([self = shared_from_this(), before](const absl::Status& status) {
      if (status.ok()) self->inner_->Trim(before);
    });
  }

 private:
  template <class Append>
  absl::Status Store(const Ref<Batch>& batch, Append append) {
    if (stage_->full()) return Error(Reason::kStorageFull, "the store is full");
    Answer<absl::Status> stored;
    append(stored.callback());
    absl::Status status = stored.Wait();
    if (status.ok()) stage_->hooks().stored(id_, batch);
    return status;
  }

  const TopicId id_;
  const std::shared_ptr<TopicLog> inner_;
  const std::shared_ptr<Stage> stage_;
  Offset trimmed_;
};

}  // namespace

void Stage::Add(Step step) {
  if (crashed_) return step(Crashed());
  steps_.push_back(std::move(step));
}

size_t Stage::Commit(size_t most) {
  size_t committed = 0;
  for (; committed < most && !steps_.empty(); ++committed) {
    const Step step = std::move(steps_.front());
    steps_.pop_front();
    step(absl::OkStatus());
  }
  return committed;
}

void Stage::Crash() {
  crashed_ = true;
  for (const Step& step : std::exchange(steps_, {})) step(Crashed());
}

std::shared_ptr<TopicLog> StagedStore::OpenLog(TopicId id) {
  return std::make_shared<StagedLog>(id, inner_->OpenLog(id), stage_);
}

std::shared_ptr<Cursor> StagedStore::OpenCursor(SubscriptionId id) {
  return std::make_shared<StagedCursor>(id, inner_->OpenCursor(id), stage_);
}

absl::Status StagedStore::Close() {
  stage_->Commit(SIZE_MAX);
  stage_->Crash();
  return inner_->Close();
}

void StagedStore::PutTopic(TopicRecord record, StoreDone done) {
  Answer<absl::Status> put;
  inner_->catalogue().PutTopic(std::move(record), put.callback());
  done(put.Wait());
}

void StagedStore::RemoveTopic(TopicId id, StoreDone done) {
  Answer<absl::Status> removed;
  inner_->catalogue().RemoveTopic(id, removed.callback());
  done(removed.Wait());
}

void StagedStore::PutSubscription(SubscriptionRecord record, const CursorState* initial,
                                  StoreDone done) {
  Answer<absl::Status> put;
  inner_->catalogue().PutSubscription(std::move(record), initial, put.callback());
  done(put.Wait());
}

void StagedStore::RemoveSubscription(SubscriptionId id, StoreDone done) {
  Answer<absl::Status> removed;
  inner_->catalogue().RemoveSubscription(id, removed.callback());
  done(removed.Wait());
}

}  // namespace sluice::model
