// Lets a numbered batch in once: what was stored gets its first answer again, what is on its way
// waits for that.
//
// Thread rule: every member may be called from any thread. Callbacks are called with no lock held.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/message/producer_tag.h"

namespace sluice {

struct Published;

class ProducerGate {
 public:
  using Done = std::function<void(absl::StatusOr<Published>)>;

  // True when the batch is new here: it is to be stored, and End called. Else `done` is taken, to
  // be called then.
  bool Begin(const ProducerTag& tag, Done* done) EXCLUDES(mu_);
  // Those who came meanwhile, to be told what became of it.
  std::vector<Done> End(const ProducerTag& tag) EXCLUDES(mu_);

 private:
  using Key = std::tuple<std::string, uint64_t, uint64_t>;
  static Key KeyOf(const ProducerTag& tag) { return {tag.id, tag.epoch, tag.sequence}; }

  Mutex mu_;
  absl::flat_hash_map<Key, std::vector<Done>> under_way_ GUARDED_BY(mu_);
};

}  // namespace sluice
