#include "core/storage/memory/memory_backend.h"
#include "tests/conformance/store_test.h"

namespace sluice {
namespace {

class MemoryStoreFixture final : public StoreFixture {
 public:
  absl::StatusOr<std::unique_ptr<Backend>> Open() override { return std::make_unique<MemoryBackend>(store_); }

 private:
  const std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
};

}  // namespace

std::vector<StoreCase> AllStores() {
  return {
      {"memory", [] { return std::make_unique<MemoryStoreFixture>(); }},
  };
}

}  // namespace sluice
