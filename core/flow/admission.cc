#include "core/flow/admission.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/flow/token_bucket.h"
#include "fmt/format.h"

namespace sluice {
namespace {

constexpr std::string_view kScopeNames[] = {"server", "project", "topic", "identity"};
constexpr std::string_view kLimitNames[] = {"batches", "bytes", "messages_per_second",
                                            "bytes_per_second"};

// For those who wait for others to finish: nobody knows when.
constexpr absl::Duration kRetryDelay = absl::Milliseconds(100);

constexpr absl::Duration kBurst = absl::Seconds(1);

absl::Status TooLate() {
  return Error(Reason::kDeadlineExceeded,
               "the deadline passed before the batch was let in; nothing was stored");
}

void Make(double per_second, std::optional<TokenBucket>* bucket) {
  bucket->reset();
  if (per_second > 0) bucket->emplace(per_second, per_second * absl::ToDoubleSeconds(kBurst));
}

// How many there are to be before the idle ones are looked for again, when so many are left.
size_t NextSweep(size_t left) {
  constexpr size_t kLeast = 1024;
  return std::max(kLeast, 2 * left);
}

// Of two limits, of which 0 is none.
double Lower(double a, double b) { return a > 0 && b > 0 ? std::min(a, b) : a + b; }

// One client may publish for several, as a proxy does.
std::string PublisherKey(uint64_t publisher, std::string_view identity) {
  return fmt::format("{} {}", publisher, identity);
}

template <class T>
T& Of(AdmissionMetrics::PerLimit<T>& counts, AdmissionScope scope, AdmissionLimit limit) {
  return counts[static_cast<size_t>(scope)][static_cast<size_t>(limit)];
}

}  // namespace

// Server, project, topic or publisher; or, beside the tree of these, an identity.
struct Admission::Node {
  Node* parent = nullptr;
  std::string key;
  AdmissionScope scope = AdmissionScope::kServer;
  // With the quota. Absent for a publisher, which has its identity's.
  std::optional<AdmissionLimits> limits;
  std::shared_ptr<Node> identity;

  // In use.
  int64_t batches = 0;
  int64_t bytes = 0;
  std::optional<TokenBucket> message_rate;
  std::optional<TokenBucket> byte_rate;

  // Waiting here and below.
  size_t waiting = 0;
  size_t waiting_bytes = 0;

  absl::flat_hash_map<std::string, std::unique_ptr<Node>> children;
  // Children whose turn comes. One that was full when it came is taken out and comes back when it
  // has room.
  std::deque<Node*> turns;
  // Whether it is in the turns of its parent.
  bool queued = false;
  // Timers that will look after it, and when the first of them does.
  int alarms = 0;
  Instant alarm_at = Instant::Never();

  // Of a publisher: who waits, callbacks that are due and have not come back, and whether its
  // identity holds it back.
  std::deque<Waiter*> waiters;
  size_t pending = 0;
  bool held = false;

  // Of an identity: publishers that it holds back.
  std::deque<Node*> held_back;

  bool HasMore() const { return !turns.empty() || !waiters.empty(); }
  // It may do all it may, and nobody is at it.
  bool Idle(Instant now) {
    return batches == 0 && children.empty() && !queued && alarms == 0 && held_back.empty() &&
           (!message_rate || message_rate->Full(now)) && (!byte_rate || byte_rate->Full(now));
  }
};

struct Admission::Waiter {
  uint64_t id = 0;
  Node* publisher = nullptr;
  Done done;
  uint32_t messages = 0;
  size_t bytes = 0;
  Instant deadline;
  Instant until;
  TimerQueue::TimerId timer;
  // What it waits for.
  std::optional<Hold> hold;
  bool counted = false;
};

Admission::Admission(AdmissionOptions options, MemoryLedger& ledger, const Clock& clock,
                     TimerQueue& timers, AdmissionMetrics& metrics)
    : limited_(options.server.any() || options.project.any() || options.topic.any()),
      ledger_(ledger),
      clock_(clock),
      timers_(timers),
      metrics_(metrics),
      options_(options),
      root_(std::make_unique<Node>()) {
  MutexLock lock(mu_);
  Limit(root_.get());
}

Admission::~Admission() = default;

Quota Admission::QuotaOf(const Node& node) const {
  if (node.scope == AdmissionScope::kProject && quotas_.of_project != nullptr)
    return quotas_.of_project(node.key);
  if (node.scope == AdmissionScope::kIdentity && quotas_.of_identity != nullptr)
    return quotas_.of_identity(node.key);
  return {};
}

void Admission::Limit(Node* node) {
  const Quota quota = QuotaOf(*node);
  AdmissionLimits& limits = node->limits.emplace(options_.of(node->scope));
  if (!limits.any() && quota.any()) limits.wait = kQuotaWait;
  limits.messages_per_second = Lower(limits.messages_per_second, quota.messages_per_second);
  limits.bytes_per_second = Lower(limits.bytes_per_second, quota.bytes_per_second);
  Make(limits.messages_per_second, &node->message_rate);
  Make(limits.bytes_per_second, &node->byte_rate);
}

// Nodes of a scope, which have one depth. Publishers have no limits.
void Admission::LimitAll(Node* node, AdmissionScope scope) {
  if (node->scope == scope) return Limit(node);
  for (auto& [key, child] : node->children) LimitAll(child.get(), scope);
}

void Admission::SetLimits(const AdmissionOptions& options) {
  {
    MutexLock lock(mu_);
    const auto change = [&](AdmissionScope scope, AdmissionLimits* now, const AdmissionLimits& to)
                            REQUIRES(mu_) {
                              if (*now == to) return;
                              *now = to;
                              LimitAll(root_.get(), scope);
                            };
    change(AdmissionScope::kServer, &options_.server, options.server);
    change(AdmissionScope::kProject, &options_.project, options.project);
    change(AdmissionScope::kTopic, &options_.topic, options.topic);
    if (options.server.any() || options.project.any() || options.topic.any())
      limited_.store(true, std::memory_order_release);
    WakeAll();
  }
  Tell();
}

void Admission::SetQuotas(AdmissionQuotas quotas) {
  {
    MutexLock lock(mu_);
    if (quotas.of_project == nullptr && quotas.of_identity == nullptr && !limited()) return;
    quotas_ = std::move(quotas);
    LimitAll(root_.get(), AdmissionScope::kProject);
    for (auto& [key, identity] : identities_) Limit(identity.get());
    limited_.store(true, std::memory_order_release);
    WakeAll();
  }
  Tell();
}

void Admission::WakeAll() {
  for (auto& [key, identity] : identities_) Wake(identity.get());
  for (auto& [project_key, project] : root_->children) {
    for (auto& [topic_key, topic] : project->children) Queue(topic.get());
  }
  Pump();
}

absl::Status Admission::Enter(const Request& request) {
  if (request.deadline != Instant::Never() && request.deadline <= clock_.Now()) return TooLate();
  if (ledger_.Take(MemoryPart::kPublishes, request.bytes)) return absl::OkStatus();
  absl::Status status = Error(
      Reason::kMemoryBudget,
      fmt::format("the server's memory budget of {} bytes is used up", ledger_.budget()),
      {{"value", std::to_string(ledger_.used())}, {"limit", std::to_string(ledger_.budget())}});
  SetRetryDelay(kRetryDelay, &status);
  return status;
}

absl::Status Admission::Refusal(const Hold& hold, Instant now) {
  const std::string_view scope = kScopeNames[static_cast<size_t>(hold.scope)];
  const std::string_view limit = kLimitNames[static_cast<size_t>(hold.limit)];
  absl::Status status =
      Error(Reason::kQuotaExceeded, fmt::format("the {}'s limit on {} is reached", scope, limit),
            {{"scope", std::string(scope)}, {"limit", std::string(limit)}});
  const bool known = hold.until != Instant::Never() && hold.until > now;
  SetRetryDelay(known ? absl::Ceil(hold.until - now, absl::Milliseconds(1)) : kRetryDelay, &status);
  return status;
}

Admission::Node* Admission::Child(Node* parent, std::string key, AdmissionScope scope) {
  std::unique_ptr<Node>& child = parent->children[key];
  if (child == nullptr) {
    child = std::make_unique<Node>();
    child->parent = parent;
    child->key = std::move(key);
    child->scope = scope;
  }
  return child.get();
}

Admission::Node* Admission::TopicNode(const Request& request) {
  const auto find = [](const Node& parent, std::string_view key) -> Node* {
    auto it = parent.children.find(ToAbsl(key));
    return it == parent.children.end() ? nullptr : it->second.get();
  };
  Node* project = find(*root_, request.project);
  if (Node* topic = project == nullptr ? nullptr : find(*project, request.topic)) return topic;
  if (topics_ >= sweep_at_) Sweep();
  const auto make = [&](Node* parent, std::string_view key, AdmissionScope scope) REQUIRES(mu_) {
    Node* node = Child(parent, std::string(key), scope);
    if (!node->limits) Limit(node);
    return node;
  };
  ++topics_;
  return make(make(root_.get(), request.project, AdmissionScope::kProject), request.topic,
              AdmissionScope::kTopic);
}

std::shared_ptr<Admission::Node> Admission::IdentityNode(std::string_view identity) {
  if (identity.empty() || quotas_.of_identity == nullptr) return nullptr;
  const auto found = identities_.find(ToAbsl(identity));
  if (found != identities_.end()) return found->second;
  if (identities_.size() >= sweep_identities_at_) {
    const Instant now = clock_.Now();
    absl::erase_if(identities_, [&](auto& entry) {
      return entry.second.use_count() == 1 && entry.second->Idle(now);
    });
    sweep_identities_at_ = NextSweep(identities_.size());
  }
  auto node = std::make_shared<Node>();
  node->key = identity;
  node->scope = AdmissionScope::kIdentity;
  Limit(node.get());
  identities_.emplace(identity, node);
  return node;
}

// Topics come and go. What is remembered of one that is idle, and may do all it may, is nothing.
void Admission::Sweep() {
  const Instant now = clock_.Now();
  topics_ = 0;
  for (auto project = root_->children.begin(); project != root_->children.end();) {
    absl::flat_hash_map<std::string, std::unique_ptr<Node>>& topics = project->second->children;
    absl::erase_if(topics, [&](const auto& topic) { return topic.second->Idle(now); });
    topics_ += topics.size();
    const auto here = project++;
    if (here->second->Idle(now)) root_->children.erase(here);
  }
  sweep_at_ = NextSweep(topics_);
}

std::optional<Admission::Hold> Admission::HeldBy(Node& node, Instant now) {
  if (node.identity != nullptr) return HeldBy(*node.identity, now);
  const auto& limits = node.limits;
  if (!limits) return std::nullopt;
  if (limits->batches > 0 && node.batches >= limits->batches) {
    return Hold{node.scope, AdmissionLimit::kBatches, Instant::Never()};
  }
  if (limits->bytes > 0 && node.bytes >= limits->bytes) {
    return Hold{node.scope, AdmissionLimit::kBytes, Instant::Never()};
  }
  const auto owed_until = [now](std::optional<TokenBucket>& rate) {
    return rate ? rate->Take(0, now) : now;
  };
  if (const Instant until = owed_until(node.message_rate); until > now) {
    return Hold{node.scope, AdmissionLimit::kMessageRate, until};
  }
  if (const Instant until = owed_until(node.byte_rate); until > now) {
    return Hold{node.scope, AdmissionLimit::kByteRate, until};
  }
  return std::nullopt;
}

void Admission::Use(Node* topic, Node* identity, uint32_t messages, size_t bytes, Instant now) {
  const auto spend = [&](Node* node) {
    if (node->message_rate) node->message_rate->Take(messages, now);
    if (node->byte_rate) node->byte_rate->Take(bytes, now);
  };
  for (Node* node = topic; node != nullptr; node = node->parent) {
    ++node->batches;
    node->bytes += static_cast<int64_t>(bytes);
    spend(node);
  }
  if (identity != nullptr) spend(identity);
}

// Whether somebody who waits comes before a batch that arrives now.
bool Admission::OthersFirst(const Node& topic, const Node* publisher) {
  for (const Node* node = &topic; node != nullptr; node = node->parent) {
    if (!node->turns.empty()) return true;
  }
  return publisher != nullptr;
}

bool Admission::RoomToWait(const Node& publisher, size_t bytes) const {
  const size_t room = options_.max_waiting - std::min(options_.max_waiting, root_->waiting);
  const size_t room_bytes =
      options_.max_waiting_bytes - std::min(options_.max_waiting_bytes, root_->waiting_bytes);
  for (const Node* node = &publisher; node != nullptr; node = node->parent) {
    if (node == root_.get()) return room > 0 && bytes <= room_bytes;
    if (node->waiting >= room || node->waiting_bytes + bytes > room_bytes) return false;
  }
  return false;
}

absl::Status Admission::MayWait(Node& publisher, const Request& request, Instant now,
                                Waiter* waiter) {
  if (!closed_.ok()) return closed_;
  absl::Duration longest;
  std::optional<Hold> hold;
  absl::Duration patience = absl::InfiniteDuration();
  const auto consider = [&](Node& node) {
    longest = std::max(longest, node.limits->wait);
    const auto held = HeldBy(node, now);
    if (!held || node.limits->wait >= patience) return;
    hold = held;
    patience = node.limits->wait;
  };
  if (publisher.identity != nullptr) consider(*publisher.identity);
  for (Node* node = publisher.parent; node != nullptr; node = node->parent) consider(*node);
  // Nor does anyone wait for what comes too late.
  const bool in_vain = hold && (patience <= absl::ZeroDuration() ||
                                (hold->until != Instant::Never() && hold->until - now > patience));
  if (in_vain) {
    Of(metrics_.refused, hold->scope, hold->limit).Add();
    return Refusal(*hold, now);
  }
  if (!RoomToWait(publisher, request.bytes)) {
    metrics_.refused_queue_full.Add();
    return RetryableError(Reason::kQuotaExceeded, "too many batches wait to be let in already",
                          kRetryDelay);
  }
  waiter->hold = hold;
  waiter->until = std::min(now + (hold ? patience : longest), request.deadline);
  return absl::OkStatus();
}

void Admission::AdmitLimited(const Request& request, Done done) {
  {
    MutexLock lock(mu_);
    const Instant now = clock_.Now();
    Node* topic = TopicNode(request);
    const std::shared_ptr<Node> identity = IdentityNode(request.identity);
    bool held = identity != nullptr && HeldBy(*identity, now);
    for (Node* node = topic; node != nullptr && !held; node = node->parent)
      held = HeldBy(*node, now).has_value();
    std::string key =
        topic->children.empty() && !held ? "" : PublisherKey(request.publisher, request.identity);
    auto it = topic->children.find(key);
    if (!held && !OthersFirst(*topic, it == topic->children.end() ? nullptr : it->second.get())) {
      Use(topic, identity.get(), request.messages, request.bytes, now);
      lock.Unlock();
      metrics_.admitted.Add();
      return done(Grant{topic, request.bytes});
    }
    if (key.empty()) key = PublisherKey(request.publisher, request.identity);
    Node* publisher = Child(topic, std::move(key), AdmissionScope::kTopic);
    publisher->identity = identity;
    auto waiter = std::make_unique<Waiter>();
    if (absl::Status status = MayWait(*publisher, request, now, waiter.get()); !status.ok()) {
      DropIfIdle(publisher);
      lock.Unlock();
      ledger_.Give(MemoryPart::kPublishes, request.bytes);
      return done(status);
    }
    waiter->messages = request.messages;
    waiter->bytes = request.bytes;
    waiter->deadline = request.deadline;
    waiter->done = std::move(done);
    Wait(publisher, std::move(waiter));
  }
  Tell();
}

void Admission::Wait(Node* publisher, std::unique_ptr<Waiter> waiter) {
  const uint64_t id = waiter->id = next_id_++;
  waiter->publisher = publisher;
  publisher->waiters.push_back(waiter.get());
  for (Node* node = publisher; node != nullptr; node = node->parent) {
    ++node->waiting;
    node->waiting_bytes += waiter->bytes;
  }
  waiters_.emplace(id, std::move(waiter));
  Queue(publisher);
  Pump();
  // It may have been let in at once, behind others of its publisher.
  auto it = waiters_.find(id);
  if (it == waiters_.end()) return;
  Waiter& left = *it->second;
  left.timer = timers_.At(left.until, [this, id] { Expire(id); });
  for (Node* node = publisher; node != nullptr && !left.hold; node = node->parent) {
    left.hold = HeldBy(*node, clock_.Now());
  }
  left.counted = left.hold.has_value();
  if (!left.counted) return;
  Of(metrics_.waited, left.hold->scope, left.hold->limit).Add();
  Of(metrics_.waiting, left.hold->scope, left.hold->limit).Add(1);
}

std::unique_ptr<Admission::Waiter> Admission::TakeOut(uint64_t id) {
  std::unique_ptr<Waiter> waiter = std::move(waiters_.extract(id).mapped());
  timers_.Cancel(waiter->timer);
  if (waiter->counted) Of(metrics_.waiting, waiter->hold->scope, waiter->hold->limit).Add(-1);
  std::deque<Waiter*>& line = waiter->publisher->waiters;
  line.erase(std::find(line.begin(), line.end(), waiter.get()));
  for (Node* node = waiter->publisher; node != nullptr; node = node->parent) {
    --node->waiting;
    node->waiting_bytes -= waiter->bytes;
  }
  return waiter;
}

void Admission::Queue(Node* node) {
  for (; node->parent != nullptr && !node->queued && node->HasMore(); node = node->parent) {
    node->parent->turns.push_back(node);
    node->queued = true;
  }
}

Admission::Waiter* Admission::Next(Node& node, Instant now) {
  if (!node.waiters.empty()) return node.waiters.front();
  while (!node.turns.empty()) {
    Node* child = node.turns.front();
    node.turns.pop_front();
    child->queued = false;
    if (const auto hold = HeldBy(*child, now)) {
      HoldBack(child, *hold);
      continue;
    }
    Waiter* found = Next(*child, now);
    if (found == nullptr) continue;
    // The one that was found still counts.
    if (child->waiters.size() > 1 || !child->turns.empty()) {
      node.turns.push_back(child);
      child->queued = true;
    }
    return found;
  }
  return nullptr;
}

void Admission::Pump() {
  const Instant now = clock_.Now();
  for (;;) {
    if (const auto hold = HeldBy(*root_, now)) {
      if (root_->waiting > 0) SetAlarm(*root_, hold->until);
      return;
    }
    const Waiter* next = Next(*root_, now);
    if (next == nullptr) return;
    if (next->deadline <= now) {
      Refuse(next->id, TooLate());
      continue;
    }
    const std::unique_ptr<Waiter> waiter = TakeOut(next->id);
    Node* topic = waiter->publisher->parent;
    Use(topic, waiter->publisher->identity.get(), waiter->messages, waiter->bytes, now);
    ++waiter->publisher->pending;
    metrics_.admitted.Add();
    told_.push_back({std::move(waiter->done), Grant{topic, waiter->bytes}, waiter->publisher});
  }
}

// One timer a node does, unless limits have changed meanwhile and it may go on sooner.
void Admission::SetAlarm(Node& node, Instant at) {
  if (at == Instant::Never() || at >= node.alarm_at) return;
  ++node.alarms;
  node.alarm_at = at;
  timers_.At(at, [this, node = &node, at] {
    {
      MutexLock lock(mu_);
      --node->alarms;
      if (node->alarm_at == at) node->alarm_at = Instant::Never();
      Wake(node);
      Pump();
    }
    Tell();
  });
}

void Admission::HoldBack(Node* node, const Hold& hold) {
  Node* const by = node->identity != nullptr ? node->identity.get() : node;
  if (by != node && !std::exchange(node->held, true)) by->held_back.push_back(node);
  SetAlarm(*by, hold.until);
}

void Admission::Wake(Node* node) {
  if (node->scope != AdmissionScope::kIdentity) return Queue(node);
  for (Node* const publisher : std::exchange(node->held_back, {})) {
    publisher->held = false;
    Queue(publisher);
  }
}

void Admission::Refuse(uint64_t id, absl::Status why) {
  const std::unique_ptr<Waiter> waiter = TakeOut(id);
  ledger_.Give(MemoryPart::kPublishes, waiter->bytes);
  told_.push_back({std::move(waiter->done), std::move(why)});
  DropIfIdle(waiter->publisher);
}

void Admission::Expire(uint64_t id) {
  {
    MutexLock lock(mu_);
    auto it = waiters_.find(id);
    if (it == waiters_.end()) return;
    const Waiter& waiter = *it->second;
    const Instant now = clock_.Now();
    const Hold hold = waiter.hold.value_or(
        Hold{AdmissionScope::kServer, AdmissionLimit::kBatches, Instant::Never()});
    const bool late = waiter.deadline <= now;
    if (!late) Of(metrics_.refused, hold.scope, hold.limit).Add();
    Refuse(id, late ? TooLate() : Refusal(hold, now));
  }
  Tell();
}

void Admission::ReleaseLimited(const Grant& grant) {
  {
    MutexLock lock(mu_);
    for (Node* node = grant.topic; node != nullptr; node = node->parent) {
      --node->batches;
      node->bytes -= static_cast<int64_t>(grant.bytes);
      Queue(node);
    }
    if (root_->waiting == 0) return;
    Pump();
  }
  Tell();
}

void Admission::DropIfIdle(Node* publisher) {
  if (!publisher->waiters.empty() || publisher->pending > 0) return;
  if (publisher->queued) std::erase(publisher->parent->turns, publisher);
  if (publisher->held) std::erase(publisher->identity->held_back, publisher);
  publisher->parent->children.erase(std::string(publisher->key));
}

void Admission::Tell() {
  MutexLock lock(mu_);
  if (telling_) return;
  telling_ = true;
  while (!told_.empty()) {
    Told told = std::move(told_.front());
    told_.pop_front();
    lock.Unlock();
    told.done(std::move(told.result));
    told.done = nullptr;
    lock.Lock();
    if (told.publisher == nullptr) continue;
    --told.publisher->pending;
    DropIfIdle(told.publisher);
  }
  telling_ = false;
}

void Admission::Close(const absl::Status& why) {
  {
    MutexLock lock(mu_);
    closed_ = why;
    while (!waiters_.empty()) Refuse(waiters_.begin()->first, why);
  }
  Tell();
}

}  // namespace sluice
