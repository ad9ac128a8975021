// What every service of the server shares, and the list of its open streams, through which they are ended when the
// server drains.
//
// Thread rule: constant after construction; the parts guard themselves.
#pragma once

#include <list>

#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "server/rpc_metrics.h"

namespace sluice::server {

// A stream that can be told to end.
class SessionHandle {
 public:
  virtual ~SessionHandle() = default;
  virtual void End(const absl::Status& why) = 0;
};

// Open streams, bounded in number. A session takes a slot, joins with it, and leaves with it before it is destroyed.
class SessionList {
 public:
  using Slot = std::list<SessionHandle*>::iterator;

  explicit SessionList(size_t max_sessions) : max_sessions_(max_sessions) {}

  // UNAVAILABLE when draining, RESOURCE_EXHAUSTED when there are too many.
  absl::StatusOr<Slot> Reserve() EXCLUDES(mu_);
  void Join(Slot slot, SessionHandle* session) EXCLUDES(mu_);
  void Leave(Slot slot) EXCLUDES(mu_);

  // No more streams; those that are open end with `why`.
  void EndAll(const absl::Status& why) EXCLUDES(mu_);
  bool draining() const EXCLUDES(mu_);
  // False when some are still open after `timeout`. REQUIRES: EndAll() was called.
  bool WaitEmpty(absl::Duration timeout) EXCLUDES(mu_);

 private:
  const size_t max_sessions_;
  mutable Mutex mu_{LockRank::kSessionList};
  CondVar left_;
  std::list<SessionHandle*> sessions_ GUARDED_BY(mu_);
  absl::Status draining_ GUARDED_BY(mu_);
};

struct ServiceContext {
  ServiceContext(Engine& the_engine, size_t max_sessions)
      : engine(the_engine), metrics(the_engine.metrics()), sessions(max_sessions) {}

  Engine& engine;
  Metrics& metrics;
  RpcMetrics rpcs;
  SessionList sessions;
};

}  // namespace sluice::server
