// Which batches may be published now. Limits stand on three scopes: the server, each project, each
// topic; a batch needs room in all three. Where there is none it waits, as long as the scope's
// policy says and its own deadline allows, or is refused with QUOTA_EXCEEDED and a retry delay.
// Quotas are rates of a project beyond its limits, and of an identity, which is who publishes,
// wherever that is; what is over one waits in the same lines.
//
//   admission.Admit({.project = "projects/shop", .topic = "projects/shop/topics/orders", .publisher = stream,
//                    .messages = 100, .bytes = bytes, .deadline = deadline},
//                   [&](absl::StatusOr<Admission::Grant> grant) {
//                     ...publish, and when that is answered:  admission.Release(*grant);
//                   });
//
// Fairness: who waits is let in round robin, project by project, in a project topic by topic, in a
// topic publisher by publisher, one batch a turn; of one publisher in the order in which the
// batches came. A scope that is full holds back only what is below it. And no publisher, topic or
// project may fill more of the waiting room than it leaves free, so that one that floods does not
// keep the others out. (Where the policy is to refuse at once there is no line to stand in: who
// comes first is served.)
//
// A batch is let in while there is room at all, so that a large one never waits for ever: the last
// may go past a limit in bytes by its own size. Rates allow a burst of one second.
//
// Without limits Admit calls back at once, and costs the ledger's atomic operations. Limits may
// change at any time; once there were some, batches go through the lines even when there are none
// any more, so that none overtakes those before it.
//
// Thread rule: every member may be called from any thread. Callbacks come with no lock held, before
// Admit returns where nothing stands in the way, else on the thread of a release or a timer; they
// must not block. The lock is a leaf but for the timers'. Lifetime: metrics, ledger, clock and
// timers live longer, and the timers stop before this goes.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/base/timer_queue.h"
#include "core/flow/memory_ledger.h"
#include "core/metrics/metrics.h"

namespace sluice {

// 0 everywhere: no limit.
struct AdmissionLimits {
  // Admitted and not answered yet.
  int64_t batches = 0;
  int64_t bytes = 0;
  double messages_per_second = 0;
  double bytes_per_second = 0;
  // How long a batch waits for room before it is refused; 0 refuses at once.
  absl::Duration wait;

  bool operator==(const AdmissionLimits&) const = default;
  bool any() const {
    return batches > 0 || bytes > 0 || messages_per_second > 0 || bytes_per_second > 0;
  }
};

// 0: none.
struct Quota {
  double messages_per_second = 0;
  double bytes_per_second = 0;

  bool any() const { return messages_per_second > 0 || bytes_per_second > 0; }
};

// Both null: none. Called under a lock.
struct AdmissionQuotas {
  std::function<Quota(std::string_view project)> of_project;
  std::function<Quota(std::string_view identity)> of_identity;
};

// How long a batch waits for a quota, where there is no limit that says so.
inline constexpr absl::Duration kQuotaWait = absl::Seconds(1);

struct AdmissionOptions {
  AdmissionLimits server;
  // For each of them.
  AdmissionLimits project;
  AdmissionLimits topic;
  // The waiting room of all together.
  size_t max_waiting = 10'000;
  size_t max_waiting_bytes = size_t{64} << 20;

  AdmissionLimits of(AdmissionScope scope) const {
    switch (scope) {
      case AdmissionScope::kServer:
        return server;
      case AdmissionScope::kProject:
        return project;
      case AdmissionScope::kTopic:
        return topic;
      case AdmissionScope::kIdentity:
        return {};
    }
    return {};
  }
};

class Admission {
 private:
  struct Node;
  struct Waiter;

 public:
  struct Request {
    // Full names.
    std::string_view project;
    std::string_view topic;
    // Whose turn it is: a stream, a client.
    uint64_t publisher = 0;
    // Who that is, for the quota; may be empty.
    std::string_view identity;
    uint32_t messages = 0;
    size_t bytes = 0;
    Instant deadline = Instant::Never();
  };

  // Room that is to be given back once, through Release.
  struct Grant {
    Node* topic = nullptr;
    size_t bytes = 0;
  };
  using Done = std::function<void(absl::StatusOr<Grant>)>;

  Admission(AdmissionOptions options, MemoryLedger& ledger, const Clock& clock, TimerQueue& timers,
            AdmissionMetrics& metrics);
  ~Admission();

  // Errors: RESOURCE_EXHAUSTED (QUOTA_EXCEEDED, MEMORY_BUDGET), DEADLINE_EXCEEDED, and what Close()
  // was told.
  template <class F>
  void Admit(const Request& request, F&& done) EXCLUDES(mu_) {
    if (absl::Status status = Enter(request); !status.ok())
      return done(absl::StatusOr<Grant>(std::move(status)));
    if (limited()) return AdmitLimited(request, Done(std::forward<F>(done)));
    metrics_.admitted.Add();
    done(absl::StatusOr<Grant>(Grant{nullptr, request.bytes}));
  }

  void Release(const Grant& grant) EXCLUDES(mu_) {
    ledger_.Give(MemoryPart::kPublishes, grant.bytes);
    if (grant.topic != nullptr) ReleaseLimited(grant);
  }

  // Refuses all that wait, and from now on all that would have to.
  void Close(const absl::Status& why) EXCLUDES(mu_);

  // Other limits than those it was made with, from now on; the size of the waiting room stays. What
  // is under way counts against them (but not what was let in while there were none), who waits
  // gets in where they allow it, and where a scope's limits have changed its rates begin with a
  // full burst.
  void SetLimits(const AdmissionOptions& options) EXCLUDES(mu_);
  // The same for quotas.
  void SetQuotas(AdmissionQuotas quotas) EXCLUDES(mu_);

  // Whether there are limits or quotas, or were some.
  bool limited() const { return limited_.load(std::memory_order_acquire); }

 private:
  // What stands in the way, and until when; Never() when that depends on others.
  struct Hold {
    AdmissionScope scope;
    AdmissionLimit limit;
    Instant until;
  };
  // A callback that is due. `publisher` is null for a refusal.
  struct Told {
    Done done;
    absl::StatusOr<Grant> result;
    Node* publisher = nullptr;
  };

  // The checks that need no lock; takes the bytes from the ledger.
  absl::Status Enter(const Request& request);
  void AdmitLimited(const Request& request, Done done) EXCLUDES(mu_);
  void ReleaseLimited(const Grant& grant) EXCLUDES(mu_);

  // Takes over the limits of its scope, and its quota.
  void Limit(Node* node) REQUIRES(mu_);
  Quota QuotaOf(const Node& node) const REQUIRES(mu_);
  void LimitAll(Node* node, AdmissionScope scope) REQUIRES(mu_);
  Node* TopicNode(const Request& request) REQUIRES(mu_);
  Node* Child(Node* parent, std::string key, AdmissionScope scope) REQUIRES(mu_);
  // Null where nobody has a quota.
  std::shared_ptr<Node> IdentityNode(std::string_view identity) REQUIRES(mu_);
  static std::optional<Hold> HeldBy(Node& node, Instant now);
  static bool OthersFirst(const Node& topic, const Node* publisher);
  bool RoomToWait(const Node& publisher, size_t bytes) const REQUIRES(mu_);
  absl::Status MayWait(Node& publisher, const Request& request, Instant now, Waiter* waiter)
      REQUIRES(mu_);
  void Wait(Node* publisher, std::unique_ptr<Waiter> waiter) REQUIRES(mu_);
  std::unique_ptr<Waiter> TakeOut(uint64_t id) REQUIRES(mu_);
  static void Use(Node* topic, Node* identity, uint32_t messages, size_t bytes, Instant now);
  // Puts a node, and those above it, where their turn comes.
  static void Queue(Node* node);
  // Queues what may go on: a node, or the publishers of an identity that were held back.
  static void Wake(Node* node);
  void WakeAll() REQUIRES(mu_);
  // Takes a node out of the turns until there is room again.
  void HoldBack(Node* node, const Hold& hold) REQUIRES(mu_);
  // Publishers are remembered while they wait.
  static void DropIfIdle(Node* publisher);
  // Lets in whoever may.
  void Pump() REQUIRES(mu_);
  Waiter* Next(Node& node, Instant now) REQUIRES(mu_);
  void SetAlarm(Node& node, Instant at) REQUIRES(mu_);
  void Refuse(uint64_t id, absl::Status why) REQUIRES(mu_);
  void Expire(uint64_t id) EXCLUDES(mu_);
  static absl::Status Refusal(const Hold& hold, Instant now);
  void Tell() EXCLUDES(mu_);
  void Sweep() REQUIRES(mu_);

  std::atomic<bool> limited_;
  MemoryLedger& ledger_;
  const Clock& clock_;
  TimerQueue& timers_;
  AdmissionMetrics& metrics_;

  Mutex mu_;
  AdmissionOptions options_ GUARDED_BY(mu_);
  AdmissionQuotas quotas_ GUARDED_BY(mu_);
  // The server; below it projects, topics, and publishers with somebody who waits.
  const std::unique_ptr<Node> root_ PT_GUARDED_BY(mu_);
  // Who published of late, where there are quotas.
  absl::flat_hash_map<std::string, std::shared_ptr<Node>> identities_ GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, std::unique_ptr<Waiter>> waiters_ GUARDED_BY(mu_);
  uint64_t next_id_ GUARDED_BY(mu_) = 1;
  size_t topics_ GUARDED_BY(mu_) = 0;
  size_t sweep_at_ GUARDED_BY(mu_) = 1024;
  size_t sweep_identities_at_ GUARDED_BY(mu_) = 1024;
  absl::Status closed_ GUARDED_BY(mu_);
  // Callbacks that are due, called by one thread at a time so that a publisher's batches stay in
  // order.
  std::deque<Told> told_ GUARDED_BY(mu_);
  bool telling_ GUARDED_BY(mu_) = false;
};

}  // namespace sluice
