// A store whose answers come when the test says so: everything that changes or reads a log or a
// cursor is staged, in one queue, and done in that order by Commit(); a crash loses what is staged.
// What it is done to is another store.
//
//   StagedStore store(std::make_unique<MemoryBackend>(content), hooks);       // belongs to the engine
//   store.Commit(3);      // three steps become durable, and are answered
//   store.Crash();        // the rest never happened
//
// The other store may answer from its own threads; here every answer comes on the thread that
// commits, so that a run over any store is single threaded and can be repeated. The catalogue is
// not staged; and a log lets go of its beginning when it is told to, as far as those who ask can
// see, as the stores do.
//
// Thread rule: for one thread.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "core/storage/backend.h"

namespace sluice::model {

// What a test wants to know of a store's doings, before the engine does.
struct StoreHooks {
  std::function<void(TopicId, const Ref<Batch>&)> stored;
  // Dead letters: on their way, and not taken.
  std::function<void(SubscriptionId, OffsetRange)> bury_staged;
  std::function<void(SubscriptionId, OffsetRange)> bury_refused;
  // A lease that is to be saved.
  std::function<void(SubscriptionId, const SavedLease&)> leased;
  // A cursor that begins anew: staged, and durable.
  std::function<void(SubscriptionId, const CursorState&)> seek_staged;
  std::function<void(SubscriptionId)> seek_done;
};

// The queue, shared with the logs and cursors that may outlive the store.
class Stage {
 public:
  // Called with OK to be done, with an error when it never will be.
  using Step = Callback<void(const absl::Status&)>;

  explicit Stage(StoreHooks hooks) : hooks_(std::move(hooks)) {}

  void Add(Step step);
  // Does the first `most`. Returns how many there were.
  size_t Commit(size_t most);
  void Crash();
  size_t size() const { return steps_.size(); }

  // While it is full, batches are refused.
  void SetFull(bool full) { full_ = full; }
  bool full() const { return full_; }
  const StoreHooks& hooks() const { return hooks_; }

 private:
  const StoreHooks hooks_;
  std::deque<Step> steps_;
  bool full_ = false;
  bool crashed_ = false;
};

class StagedStore final : public Backend, private Catalogue {
 public:
  StagedStore(std::unique_ptr<Backend> inner, StoreHooks hooks)
      : inner_(std::move(inner)), stage_(std::make_shared<Stage>(std::move(hooks))) {}

  // Outlives the store.
  const std::shared_ptr<Stage>& stage() const { return stage_; }

  Catalogue& catalogue() override { return *this; }
  std::shared_ptr<TopicLog> OpenLog(TopicId id) override;
  std::shared_ptr<Cursor> OpenCursor(SubscriptionId id) override;
  BackendStats stats() const override { return inner_->stats(); }
  absl::Status Close() override;
  std::string_view durability() const override { return inner_->durability(); }

 private:
  absl::StatusOr<Contents> Load() override { return inner_->catalogue().Load(); }
  uint64_t NewId() override { return inner_->catalogue().NewId(); }
  void PutTopic(TopicRecord record, StoreDone done) override;
  void RemoveTopic(TopicId id, StoreDone done) override;
  void PutSubscription(SubscriptionRecord record, const CursorState* initial,
                       StoreDone done) override;
  void RemoveSubscription(SubscriptionId id, StoreDone done) override;

  const std::unique_ptr<Backend> inner_;
  const std::shared_ptr<Stage> stage_;
};

}  // namespace sluice::model
