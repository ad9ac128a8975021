// What every service of the server shares, and the list of its open streams, through which they are ended when the
// server drains.
//
// Thread rule: constant after construction; the parts guard themselves.
#pragma once

#include <array>
#include <list>

#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "core/flow/admission.h"
#include "server/rpc_metrics.h"

namespace sluice::server {

// A stream that can be told to end.
class SessionHandle {
 public:
  virtual ~SessionHandle() = default;
  virtual void End(const absl::Status& why) = 0;
};

enum class StreamKind { kPublish, kSubscribe };

// The most open streams, of each kind and together.
struct StreamLimits {
  size_t publish = SIZE_MAX;
  size_t subscribe = SIZE_MAX;
  size_t together = SIZE_MAX;
};

// Open streams, bounded in number. A session takes a slot, joins with it, and leaves with it before it is destroyed.
class SessionList {
 public:
  struct Entry {
    SessionHandle* session;
    StreamKind kind;
  };
  using Slot = std::list<Entry>::iterator;

  explicit SessionList(StreamLimits limits) : limits_(limits) {}

  // UNAVAILABLE when draining, RESOURCE_EXHAUSTED (TOO_MANY_STREAMS) when there are too many.
  absl::StatusOr<Slot> Reserve(StreamKind kind) EXCLUDES(mu_);
  void Join(Slot slot, SessionHandle* session) EXCLUDES(mu_);
  void Leave(Slot slot) EXCLUDES(mu_);

  // No more streams; those that are open end with `why`.
  void EndAll(const absl::Status& why) EXCLUDES(mu_);
  bool draining() const EXCLUDES(mu_);
  // False when some are still open after `timeout`. REQUIRES: EndAll() was called.
  bool WaitEmpty(absl::Duration timeout) EXCLUDES(mu_);

 private:
  const StreamLimits limits_;
  mutable Mutex mu_{LockRank::kSessionList};
  CondVar left_;
  std::list<Entry> sessions_ GUARDED_BY(mu_);
  std::array<size_t, 2> count_ GUARDED_BY(mu_){};
  absl::Status draining_ GUARDED_BY(mu_);
};

class Backups;

struct ServiceContext {
  ServiceContext(Engine& the_engine, const StreamLimits& streams, const AdmissionOptions& limits)
      : engine(the_engine),
        metrics(the_engine.metrics()),
        sessions(streams),
        admission(limits, the_engine.memory(), the_engine.clock(), the_engine.timers(), the_engine.metrics().admission) {}

  Engine& engine;
  Metrics& metrics;
  RpcMetrics rpcs;
  SessionList sessions;
  Admission admission;
  // Whether messages may be pushed to addresses that are none of the public internet.
  bool push_to_private = true;
  // Set before anyone can connect.
  Backups* backups = nullptr;
};

}  // namespace sluice::server
