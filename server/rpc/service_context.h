// What every service of the server shares, and the list of its open streams, through which they are
// ended when the server drains.
//
// Thread rule: constant after construction; the parts guard themselves.
#pragma once

#include <array>
#include <functional>
#include <list>
#include <memory>

#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "core/flow/admission.h"
#include "server/config/config_metrics.h"
#include "server/rpc/rpc_metrics.h"
#include "server/security/auth/access.h"

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

// Open streams, bounded in number. A session takes a slot, joins with it, and leaves with it before
// it is destroyed.
class SessionList {
 public:
  struct Entry {
    SessionHandle* session = nullptr;
    StreamKind kind = StreamKind::kPublish;
    // Who it is of and what it is about, once that is known and asked.
    std::shared_ptr<const StreamAccess> access;
  };
  using Slot = std::list<Entry>::iterator;

  explicit SessionList(StreamLimits limits) : limits_(limits) {}

  // UNAVAILABLE when draining, RESOURCE_EXHAUSTED (TOO_MANY_STREAMS) when there are too many.
  absl::StatusOr<Slot> Reserve(StreamKind kind) EXCLUDES(mu_);
  void Join(Slot slot, SessionHandle* session) EXCLUDES(mu_);
  void Bind(Slot slot, StreamAccess access) EXCLUDES(mu_);
  void Leave(Slot slot) EXCLUDES(mu_);

  // Ends the streams that `why_not` finds an error for; it is called without the lock.
  size_t EndIf(const std::function<absl::Status(const StreamAccess&)>& why_not) EXCLUDES(mu_);
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
class Tracer;

struct ServiceContext {
  ServiceContext(Engine& the_engine, const StreamLimits& streams, const AdmissionOptions& limits,
                 Access& the_access, SecurityMetrics& security_metrics)
      : engine(the_engine),
        metrics(the_engine.metrics()),
        access(the_access),
        security(security_metrics),
        sessions(streams),
        admission(limits, the_engine.memory(), the_engine.clock(), the_engine.timers(),
                  the_engine.metrics().admission) {}

  // Whether a stream may be about a resource. If so it is asked again when rights change.
  absl::Status AllowStream(SessionList::Slot slot, const Caller& caller, Rpc rpc, Right right,
                           const std::string& resource);

  Engine& engine;
  Metrics& metrics;
  Access& access;
  SecurityMetrics& security;
  RpcMetrics rpcs;
  ConfigMetrics config;
  SessionList sessions;
  Admission admission;
  // Whether messages may be pushed to addresses that are none of the public internet.
  bool push_to_private = true;
  // Null where nothing is traced.
  Tracer* tracer = nullptr;
  // Set before anyone can connect.
  Backups* backups = nullptr;
};

}  // namespace sluice::server
