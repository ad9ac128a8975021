// Where a store's content lives while engines over it come and go, one at a time.
//
//   MemoryPlace place;
//   auto backend = place.Open();       // use it, then:
//   place.Stop();                      // from here on nothing reaches the content any more: a crash
//   backend = nullptr;
//   backend = place.Open();
//
// Thread rule: for one thread.
#pragma once

#include <memory>

#include "core/storage/local/local_backend.h"
#include "core/storage/memory/memory_backend.h"
#include "tests/support/fault_files.h"
#include "tests/support/temp_folder.h"

namespace sluice::model {

class StorePlace {
 public:
  virtual ~StorePlace() = default;
  virtual absl::StatusOr<std::unique_ptr<Backend>> Open() = 0;
  virtual void Stop() = 0;
  // What the store does beside serving; nothing for most.
  virtual void Maintain() {}
};

// Whatever reaches the memory store is durable at once; what may be lost in a crash is staged
// before it.
class MemoryPlace final : public StorePlace {
 public:
  absl::StatusOr<std::unique_ptr<Backend>> Open() override {
    return std::make_unique<MemoryBackend>(content_);
  }
  void Stop() override {}

 private:
  const std::shared_ptr<MemoryStore> content_ = std::make_shared<MemoryStore>();
};

// Small segments, so that a run fills some, lets go of them and has them relocated.
class LocalPlace final : public StorePlace {
 public:
  explicit LocalPlace(const Clock& clock) : clock_(clock) {}

  absl::StatusOr<std::unique_ptr<Backend>> Open() override {
    files_.StartWorld();
    LocalOptions options;
    options.data_dir = folder_.path();
    options.durability = Durability::kOs;
    options.segment_bytes = 4 << 10;
    options.run_maintenance = false;
    options.files = &files_;
    auto opened = LocalBackend::Open(options, clock_, metrics_);
    if (!opened.ok()) return opened.status();
    open_ = opened->get();
    return *std::move(opened);
  }
  void Stop() override { files_.StopWorld(); }
  void Maintain() override {
    open_->maintenance().Checkpoint().IgnoreError();
    open_->maintenance().RunOnce();
  }

 private:
  const Clock& clock_;
  TempFolder folder_;
  FaultFiles files_;
  StoreMetrics metrics_;
  LocalBackend* open_ = nullptr;
};

}  // namespace sluice::model
