#include "server/rpc/service_context.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice::server {

absl::StatusOr<SessionList::Slot> SessionList::Reserve(StreamKind kind) {
  MutexLock lock(mu_);
  if (!draining_.ok()) return draining_;
  const bool publish = kind == StreamKind::kPublish;
  size_t& count = count_[static_cast<size_t>(kind)];
  const size_t limit = publish ? limits_.publish : limits_.subscribe;
  if (count >= limit || sessions_.size() >= limits_.together) {
    const std::string_view which = count < limit ? "" : publish ? "publish " : "subscribe ";
    return RetryableError(Reason::kTooManyStreams,
                          fmt::format("{} {}streams are open, the most there may be",
                                      count < limit ? sessions_.size() : count, which),
                          absl::Seconds(1));
  }
  ++count;
  return sessions_.insert(sessions_.end(), {nullptr, kind, nullptr});
}

void SessionList::Join(Slot slot, SessionHandle* session) {
  absl::Status draining;
  {
    MutexLock lock(mu_);
    slot->session = session;
    draining = draining_;
  }
  if (!draining.ok()) session->End(draining);
}

void SessionList::Bind(Slot slot, StreamAccess access) {
  auto bound = std::make_shared<const StreamAccess>(std::move(access));
  MutexLock lock(mu_);
  slot->access = std::move(bound);
}

size_t SessionList::EndIf(const std::function<absl::Status(const StreamAccess&)>& why_not) {
  std::vector<std::shared_ptr<const StreamAccess>> bound;
  {
    MutexLock lock(mu_);
    for (const Entry& entry : sessions_) {
      if (entry.access != nullptr) bound.push_back(entry.access);
    }
  }
  // By address: `bound` keeps them from being used for another stream.
  absl::flat_hash_map<const StreamAccess*, absl::Status> ends;
  for (const auto& access : bound) {
    if (absl::Status why = why_not(*access); !why.ok()) ends.emplace(access.get(), std::move(why));
  }
  if (ends.empty()) return 0;
  MutexLock lock(mu_);
  for (const Entry& entry : sessions_) {
    const auto found = ends.find(entry.access.get());
    if (found != ends.end() && entry.session != nullptr) entry.session->End(found->second);
  }
  return ends.size();
}

void SessionList::Leave(Slot slot) {
  MutexLock lock(mu_);
  --count_[static_cast<size_t>(slot->kind)];
  sessions_.erase(slot);
  if (!draining_.ok()) left_.NotifyAll();
}

bool SessionList::WaitEmpty(absl::Duration timeout) {
  const SystemClock clock;
  const Instant end = clock.Now() + timeout;
  MutexLock lock(mu_);
  while (!sessions_.empty()) {
    const absl::Duration left = end - clock.Now();
    if (left <= absl::ZeroDuration()) return false;
    left_.WaitFor(lock, left);
  }
  return true;
}

// Under the lock, so that no session goes away meanwhile; to end one only starts something, and
// sessions are not destroyed by the thread that ends them.
void SessionList::EndAll(const absl::Status& why) {
  MutexLock lock(mu_);
  draining_ = why;
  for (const Entry& entry : sessions_) {
    if (entry.session != nullptr) entry.session->End(why);
  }
}

absl::Status ServiceContext::AllowStream(SessionList::Slot slot, const Caller& caller, Rpc rpc,
                                         Right right, const std::string& resource) {
  if (!access.enabled()) return absl::OkStatus();
  const std::string_view method = EntryOf(rpc).full_name;
  StreamAccess stream{caller, method, right, resource};
  // Bound first: what changes from here on is looked at again.
  sessions.Bind(slot, stream);
  return access.Check(caller, method, right, resource);
}

bool SessionList::draining() const {
  MutexLock lock(mu_);
  return !draining_.ok();
}

}  // namespace sluice::server
