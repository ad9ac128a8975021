#include "core/storage/local/local_backend.h"
#include "core/storage/memory/memory_backend.h"
#include "tests/conformance/store_test.h"
#include "tests/support/temp_folder.h"

namespace sluice {
namespace {

class MemoryStoreFixture final : public StoreFixture {
 public:
  explicit MemoryStoreFixture(AppendResults results) : results_(results) {}

  absl::StatusOr<std::unique_ptr<Backend>> Open() override {
    return std::make_unique<MemoryBackend>(store_, nullptr, results_);
  }

 private:
  const AppendResults results_;
  const std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
};

class LocalStoreFixture final : public StoreFixture {
 public:
  explicit LocalStoreFixture(Durability durability) : durability_(durability) {}

  absl::StatusOr<std::unique_ptr<Backend>> Open() override {
    return LocalBackend::Open({.data_dir = folder_.path(), .durability = durability_}, clock_,
                              metrics_);
  }

 private:
  const Durability durability_;
  TempFolder folder_;
  SystemClock clock_;
  StoreMetrics metrics_;
};

}  // namespace

std::vector<StoreCase> AllStores() {
  return {
      {"memory", [] { return std::make_unique<MemoryStoreFixture>(AppendResults::kInline); }},
      {"memory_results_on_a_thread",
       [] { return std::make_unique<MemoryStoreFixture>(AppendResults::kOwnThread); }},
      {"local_fsync", [] { return std::make_unique<LocalStoreFixture>(Durability::kFsync); }},
      {"local_os", [] { return std::make_unique<LocalStoreFixture>(Durability::kOs); }},
  };
}

}  // namespace sluice
