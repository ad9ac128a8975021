// Lets the messages of a topic expire at their time, whether anybody looks at them or not: finds
// those whose time has come, reads them, and has each subscription let go of what it does not have
// out (Subscription::LetExpire).
//
// Three things are looked at, one read at a time: stretches of the index, for messages that say
// themselves when they expire; the oldest messages that the topic's message_ttl concerns, since
// those expire in the order of their publication; and what is not known: the log after a restart,
// and what had expired before a subscription came or sought back.
//
// Thread rule: every member may be called from any thread, also with a subscription's lock held;
// the lock is a leaf.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/engine/context.h"
#include "core/engine/expiry_index.h"
#include "core/message/batch.h"

namespace sluice {

class TopicExpiry {
 public:
  // Belongs to `topic`.
  TopicExpiry(EngineContext& context, Topic& topic);

  // Whether anything in the batch may expire, of a topic with this TTL.
  static bool Concerns(const Batch& batch, int64_t ttl_us) {
    return ttl_us > 0 || MayExpireAt(batch, 0, batch.count());
  }

  // A batch that this concerns became durable; in offset order.
  void OnAppended(const Batch& batch) EXCLUDES(mu_);
  // Nothing is known of what the log holds, which is not nothing.
  void ScanLog(const LogExtent& extent) EXCLUDES(mu_);
  // A subscription begins at `from`: what had expired by now may concern it.
  void Revisit(Offset from) EXCLUDES(mu_);
  // Something in `range` is due at `at_us`, microseconds since 1970.
  void Add(OffsetRange range, int64_t at_us) EXCLUDES(mu_);
  void TtlChanged() EXCLUDES(mu_);
  void DropBefore(Offset before) EXCLUDES(mu_);

 private:
  enum class Source { kIndex, kTtl, kScan };
  struct Work {
    Source source = Source::kIndex;
    OffsetRange range;
  };
  using Batches = std::vector<Ref<Batch>>;

  // When there is something to do; kNeverExpires for never.
  int64_t NextUs() const REQUIRES(mu_);
  int64_t TtlDueUs() const REQUIRES(mu_);
  void Arm() REQUIRES(mu_);
  void OnTimer() EXCLUDES(mu_);
  std::optional<Work> NextWork(int64_t now_us, Offset needed_from) REQUIRES(mu_);
  void Read(const Work& work) EXCLUDES(mu_);
  void OnRead(const Work& work, absl::StatusOr<Batches> read) EXCLUDES(mu_);
  // Has each subscription let go of what has expired. False when that has to wait.
  bool Expire(const Batches& batches) const;
  // What of the work is left, and when.
  void Failed(const Work& work, const absl::Status& status, int64_t now_us) REQUIRES(mu_);
  // What is left of the work begins at `from`.
  void GoOn(const Work& work, Offset from, int64_t now_us) REQUIRES(mu_);
  void Done(const Work& work, const Batches& batches, int64_t now_us) REQUIRES(mu_);
  void NoteExpired(OffsetRange range) REQUIRES(mu_);
  // A batch that was published earlier than one before it, since the clock was set back, has its
  // own time.
  void FileOutOfOrder(const Batch& batch, int64_t ttl_us) REQUIRES(mu_);

  EngineContext& context_;
  Topic& topic_;

  Mutex mu_;
  ExpiryIndex index_ GUARDED_BY(mu_);
  // Below it everything has expired as far as the TTL goes; and when the batch there was published,
  // where that is known.
  Offset ttl_from_ GUARDED_BY(mu_);
  std::optional<int64_t> ttl_publish_us_ GUARDED_BY(mu_);
  int64_t latest_publish_us_ GUARDED_BY(mu_) = 0;
  OffsetRange scan_ GUARDED_BY(mu_){Offset(1), Offset(1)};
  int64_t scan_at_us_ GUARDED_BY(mu_) = 0;
  // Messages that have expired lie in here.
  OffsetRange expired_ GUARDED_BY(mu_){Offset(1), Offset(1)};
  // Nothing before, after what could not be done.
  int64_t not_before_us_ GUARDED_BY(mu_) = 0;
  bool busy_ GUARDED_BY(mu_) = false;
  Instant armed_ GUARDED_BY(mu_) = Instant::Never();
};

}  // namespace sluice
