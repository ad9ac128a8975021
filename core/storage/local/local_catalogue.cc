#include "core/storage/local/local_catalogue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/message/limits.h"
#include "core/message/names.h"
#include "core/storage/config_name.h"
#include "fmt/format.h"

namespace sluice {
namespace {

absl::Status Unreadable(RecordKind kind) {
  return Error(Reason::kDataLoss, fmt::format("journal: a record of kind {} cannot be understood",
                                              static_cast<int>(kind)));
}

}  // namespace

absl::StatusOr<Catalogue::Contents> LocalCatalogue::Load() {
  MutexLock lock(mu_);
  Contents contents;
  for (const auto& [id, log] : logs_) contents.topics.push_back({id, log->config()});
  for (const auto& [id, cursor] : cursors_)
    contents.subscriptions.push_back({id, cursor->config()});
  return contents;
}

uint64_t LocalCatalogue::NewId() {
  MutexLock lock(mu_);
  return next_id_++;
}

void LocalCatalogue::Submit(RecordKind kind, uint64_t id, std::string payload, StoreDone done) {
  JournalEntry entry;
  entry.header.kind = kind;
  entry.header.id = id;
  entry.bytes = std::move(payload);
  entry.target = shared_from_this();
  entry.done = std::move(done);
  context_.committer.Submit(std::move(entry));
}

void LocalCatalogue::PutTopic(TopicRecord record, StoreDone done) {
  Submit(RecordKind::kPutTopic, record.id.value(), std::move(record.config), std::move(done));
}

void LocalCatalogue::RemoveTopic(TopicId id, StoreDone done) {
  Submit(RecordKind::kRemoveTopic, id.value(), "", std::move(done));
}

void LocalCatalogue::PutSubscription(SubscriptionRecord record, const CursorState* initial,
                                     StoreDone done) {
  Submit(RecordKind::kPutSubscription, record.id.value(),
         EncodePutSubscription(record.config, initial), std::move(done));
}

void LocalCatalogue::RemoveSubscription(SubscriptionId id, StoreDone done) {
  Submit(RecordKind::kRemoveSubscription, id.value(), "", std::move(done));
}

void LocalCatalogue::AfterWrite(const JournalEntry& entry, const absl::Status& status,
                                const JournalPosition&) {
  if (!status.ok()) return;
  MutexLock lock(mu_);
  // The payload was made here, a moment ago.
  Apply(entry.header.kind, entry.header.id, entry.payload()).IgnoreError();
}

absl::Status LocalCatalogue::ApplyPutSubscription(SubscriptionId id, std::string_view payload) {
  VarintReader in(payload);
  const std::string config(in.NextBytes());
  const std::string_view initial = in.NextBytes();
  if (!in.ok()) return Unreadable(RecordKind::kPutSubscription);
  std::shared_ptr<LocalCursor>& cursor = cursors_[id];
  if (!initial.empty() || cursor == nullptr) {
    auto state = initial.empty() ? CursorState() : DecodeCursorState(initial);
    if (!state) return Unreadable(RecordKind::kPutSubscription);
    cursor = std::make_shared<LocalCursor>(context_.committer,
                                           View::SubscriptionState{id, config, *std::move(state)});
  }
  cursor->SetConfig(config);
  if (rebuild_ != nullptr) rebuild_->Confirm(id);
  return absl::OkStatus();
}

absl::Status LocalCatalogue::Apply(RecordKind kind, uint64_t id, std::string_view payload) {
  next_id_ = std::max(next_id_, id + 1);
  switch (kind) {
    case RecordKind::kPutTopic: {
      std::shared_ptr<LocalLog>& log = logs_[TopicId(id)];
      if (log == nullptr) {
        View::TopicState state;
        state.id = TopicId(id);
        log = std::make_shared<LocalLog>(context_, std::move(state));
      }
      log->SetConfig(std::string(payload));
      if (rebuild_ != nullptr) rebuild_->Confirm(TopicId(id));
      return absl::OkStatus();
    }
    case RecordKind::kRemoveTopic:
      if (auto it = logs_.find(TopicId(id)); it != logs_.end()) {
        it->second->Remove();
        logs_.erase(it);
      }
      removed_topics_.push_back(TopicId(id));
      if (rebuild_ != nullptr) rebuild_->RemoveTopic(TopicId(id));
      return absl::OkStatus();
    case RecordKind::kPutSubscription:
      return ApplyPutSubscription(SubscriptionId(id), payload);
    case RecordKind::kRemoveSubscription:
      cursors_.erase(SubscriptionId(id));
      removed_subscriptions_.push_back(SubscriptionId(id));
      return absl::OkStatus();
    default:
      return Unreadable(kind);
  }
}

void LocalCatalogue::Restore(const View::Contents& contents) {
  MutexLock lock(mu_);
  next_id_ = first_new_id_ = contents.next_id;
  for (const View::TopicState& topic : contents.topics) {
    logs_[topic.id] = std::make_shared<LocalLog>(context_, topic);
  }
  for (const View::SubscriptionState& subscription : contents.subscriptions) {
    cursors_[subscription.id] = std::make_shared<LocalCursor>(context_.committer, subscription);
  }
}

// What something is called whose config is damaged: by the name in it, or by `made_up` when that is
// no name or another one's.
template <class Name, class Map>
std::string LocalCatalogue::NameOfLost(const Map& there, std::string_view config,
                                       const std::string& made_up) {
  const std::string_view name = NameInConfig(config);
  const bool taken = std::any_of(there.begin(), there.end(), [&](const auto& entry) {
    return NameInConfig(entry.second->config()) == name;
  });
  return taken || !Name::Parse(name).ok() ? made_up : std::string(name);
}

// The record that made this topic is damaged. Its messages stay, under its name if that can still
// be read.
std::string LocalCatalogue::LostTopic(TopicId id, std::string_view config) {
  MutexLock lock(mu_);
  std::string name = NameOfLost<TopicName>(
      logs_, config, fmt::format("projects/damaged/topics/topic-{}", id.value()));
  next_id_ = std::max(next_id_, id.value() + 1);
  View::TopicState state;
  state.id = id;
  logs_[id] = std::make_shared<LocalLog>(context_, std::move(state));
  logs_[id]->SetConfig(LostConfig(name));
  return name;
}

// The record that made this subscription is damaged. If its topic can still be told, it holds
// everything that the topic has; where it began cannot be trusted. Gives its name.
std::optional<std::string> LocalCatalogue::LostSubscription(SubscriptionId id,
                                                            std::string_view config) {
  const auto topic_id = NumberInConfig(config, kConfigTopicId);
  const auto topic = topic_id ? Log(TopicId(*topic_id)) : nullptr;
  if (topic == nullptr) return std::nullopt;
  MutexLock lock(mu_);
  std::string name = NameOfLost<SubscriptionName>(
      cursors_, config, fmt::format("projects/damaged/subscriptions/subscription-{}", id.value()));
  next_id_ = std::max(next_id_, id.value() + 1);
  std::string lost = LostConfig(name);
  AppendBytesField(&lost, kConfigTopic, NameInConfig(topic->config()));
  AppendVarintField(&lost, kConfigTopicId, *topic_id);
  if (const auto until = NumberInConfig(config, kConfigSnapshotUntil))
    AppendVarintField(&lost, kConfigSnapshotUntil, *until);
  cursors_[id] = std::make_shared<LocalCursor>(
      context_.committer, View::SubscriptionState{id, std::move(lost), CursorState()});
  return name;
}

std::string LocalCatalogue::ReplayedDamage(uint64_t segment, const DamagedStretch& stretch) {
  {
    MutexLock lock(mu_);
    damage_replayed_ = true;
    if (rebuild_ != nullptr) rebuild_->Damaged();
  }
  if (!stretch.header) return "";
  const RecordHeader& header = *stretch.header;
  auto log = Log(TopicId(header.id));
  if (IsNewBatch(header.kind) && log != nullptr) {
    MutexLock lock(mu_);
    if (rebuild_ == nullptr) {
      lock.Unlock();
      log->ReplayedDamage(Offset(header.first), header.count, {segment, stretch.begin});
    } else {
      const auto count = std::clamp<uint32_t>(header.count, 1, kMaxMessagesPerBatch);
      rebuild_->DamagedBatch(log->id(),
                             {Offset(header.first), count, 0, {segment, stretch.begin}, 0});
    }
    return fmt::format("messages of topic {}, from id {} on",
                       NameOrNumber(log->config(), header.id), header.first);
  }
  if (header.kind == RecordKind::kPutTopic)
    return DamagedPutTopic(TopicId(header.id), stretch.payload);
  if (header.kind == RecordKind::kPutSubscription)
    return DamagedPutSubscription(SubscriptionId(header.id), stretch.payload);
  return "";
}

bool LocalCatalogue::CanBeNumber(uint64_t id) const {
  constexpr uint64_t kNear = 1'000'000;
  MutexLock lock(mu_);
  return id < next_id_ + kNear;
}

std::string LocalCatalogue::DamagedPutTopic(TopicId id, std::string_view config) {
  if (auto log = Log(id))
    return fmt::format("a change of topic {}", NameOrNumber(log->config(), id.value()));
  if (!CanBeNumber(id.value())) return "";
  return fmt::format("the settings of topic {}, whose messages are kept", LostTopic(id, config));
}

std::string LocalCatalogue::DamagedPutSubscription(SubscriptionId id, std::string_view payload) {
  if (auto cursor = CursorOf(id))
    return fmt::format("a change of subscription {}", NameOrNumber(cursor->config(), id.value()));
  VarintReader in(payload);
  const std::string_view config = in.NextBytes();
  if (CanBeNumber(id.value())) {
    if (const auto name = LostSubscription(id, config)) {
      return fmt::format("the settings of subscription {}, for which messages are kept", *name);
    }
  }
  return fmt::format("subscription {}, which is gone", NameOrNumber(config, id.value()));
}

// A topic of which nobody knows was removed before, unless its making is what could not be read.
std::shared_ptr<LocalLog> LocalCatalogue::LogOfReplayed(TopicId id) {
  if (auto log = Log(id)) return log;
  {
    MutexLock lock(mu_);
    const bool removed = std::count(removed_topics_.begin(), removed_topics_.end(), id) > 0;
    if (!damage_replayed_ || removed || id.value() < first_new_id_) return nullptr;
  }
  LostTopic(id, "");
  return Log(id);
}

absl::Status LocalCatalogue::ReplayedBatch(const JournalPosition& at, const RecordHeader& header,
                                           std::string_view payload) {
  const std::string_view record = BatchIn(header.kind, payload);
  if (absl::Status status = Batch::Check(record); !status.ok()) return status;
  int64_t publish_time_us = 0;
  std::memcpy(&publish_time_us, record.data() + 8, sizeof publish_time_us);
  {
    MutexLock lock(mu_);
    if (rebuild_ != nullptr) {
      rebuild_->Batch(TopicId(header.id),
                      {Offset(header.first), header.count, header.length, at, publish_time_us});
      return absl::OkStatus();
    }
  }
  if (auto log = LogOfReplayed(TopicId(header.id))) log->Replayed(header, at, publish_time_us);
  return absl::OkStatus();
}

absl::Status LocalCatalogue::ReplayedTopicState(TopicId id, std::string_view payload) {
  auto extent = DecodeTopicExtent(payload);
  if (!extent) return Unreadable(RecordKind::kTopicState);
  if (auto log = Log(id)) log->ReplayedExtent(extent->floor, std::move(extent->producers));
  MutexLock lock(mu_);
  if (rebuild_ != nullptr) rebuild_->SetExtent(id, {extent->floor, extent->next});
  return absl::OkStatus();
}

absl::Status LocalCatalogue::ReplayedSnapshotBegin(const JournalPosition& at,
                                                   std::string_view payload) {
  VarintReader in(payload);
  const uint64_t next_id = in.Next();
  if (!in.ok()) return Unreadable(RecordKind::kSnapshotBegin);
  MutexLock lock(mu_);
  next_id_ = std::max(next_id_, next_id);
  if (rebuild_ == nullptr) return absl::OkStatus();
  ViewRebuild::Ids there;
  for (const auto& [id, log] : logs_) there.topics.insert(id);
  for (const auto& [id, cursor] : cursors_) there.subscriptions.insert(id);
  rebuild_->BeginSnapshot(at, std::move(there));
  return absl::OkStatus();
}

absl::Status LocalCatalogue::ReplayedSnapshotEnd(std::string_view payload) {
  VarintReader in(payload);
  JournalPosition begun;
  begun.segment = in.Next();
  begun.offset = in.Next();
  if (!in.ok()) return Unreadable(RecordKind::kSnapshotEnd);
  MutexLock lock(mu_);
  if (rebuild_ == nullptr) return absl::OkStatus();
  const auto gone = rebuild_->EndSnapshot(begun);
  if (!gone) return absl::OkStatus();
  for (TopicId id : gone->topics) logs_.erase(id);
  for (SubscriptionId id : gone->subscriptions) cursors_.erase(id);
  for (TopicId id : rebuild_->Topics()) {
    if (!logs_.contains(id)) rebuild_->RemoveTopic(id);
  }
  return absl::OkStatus();
}

void LocalCatalogue::BeginRebuild() {
  MutexLock lock(mu_);
  rebuild_ = std::make_unique<ViewRebuild>();
}

uint64_t LocalCatalogue::FinishRebuild() {
  std::unique_ptr<ViewRebuild> rebuild;
  {
    MutexLock lock(mu_);
    rebuild = std::move(rebuild_);
  }
  // Topics of which nothing is known but their messages.
  for (TopicId id : rebuild->Topics()) LogOfReplayed(id);
  for (const auto& log : Logs()) {
    const ViewRebuild::Extent extent = rebuild->extent(log->id());
    log->Rebuilt(extent.floor, extent.next, rebuild->Take(log->id()));
  }
  return rebuild->base();
}

absl::Status LocalCatalogue::Replayed(const JournalPosition& at, const RecordHeader& header,
                                      std::string_view payload) {
  switch (header.kind) {
    case RecordKind::kBatchAndAck: {
      const auto ack = DecodeAckPrefix(payload);
      if (!ack) return Unreadable(header.kind);
      if (auto cursor = CursorOf(ack->subscription)) cursor->Acked(ack->ranges);
      return ReplayedBatch(at, header, payload);
    }
    case RecordKind::kBatchOfProducer: {
      const auto tag = DecodeProducerPrefix(payload);
      if (!tag) return Unreadable(header.kind);
      const Offset first(header.first);
      if (auto log = Log(TopicId(header.id)))
        log->ReplayedProducer(*tag, {first, first + header.count});
      return ReplayedBatch(at, header, payload);
    }
    case RecordKind::kBatch:
    case RecordKind::kBatchMoved:
      return ReplayedBatch(at, header, payload);
    case RecordKind::kCursorDelta: {
      const auto delta = DecodeCursorDelta(payload);
      if (!delta) return Unreadable(header.kind);
      if (auto cursor = CursorOf(SubscriptionId(header.id))) cursor->Replayed(*delta);
      return absl::OkStatus();
    }
    case RecordKind::kCursorState: {
      auto state = DecodeCursorState(payload);
      if (!state) return Unreadable(header.kind);
      if (auto cursor = CursorOf(SubscriptionId(header.id))) cursor->Replayed(*std::move(state));
      return absl::OkStatus();
    }
    case RecordKind::kTopicState:
      return ReplayedTopicState(TopicId(header.id), payload);
    case RecordKind::kSnapshotBegin:
      return ReplayedSnapshotBegin(at, payload);
    case RecordKind::kSnapshotEnd:
      return ReplayedSnapshotEnd(payload);
    default: {
      MutexLock lock(mu_);
      return Apply(header.kind, header.id, payload);
    }
  }
}

std::shared_ptr<LocalLog> LocalCatalogue::Log(TopicId id) const {
  MutexLock lock(mu_);
  auto it = logs_.find(id);
  return it == logs_.end() ? nullptr : it->second;
}

std::shared_ptr<LocalCursor> LocalCatalogue::CursorOf(SubscriptionId id) const {
  MutexLock lock(mu_);
  auto it = cursors_.find(id);
  return it == cursors_.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<LocalLog>> LocalCatalogue::Logs() const {
  MutexLock lock(mu_);
  std::vector<std::shared_ptr<LocalLog>> logs;
  for (const auto& [id, log] : logs_) logs.push_back(log);
  return logs;
}

std::vector<std::shared_ptr<LocalCursor>> LocalCatalogue::Cursors() const {
  MutexLock lock(mu_);
  std::vector<std::shared_ptr<LocalCursor>> cursors;
  for (const auto& [id, cursor] : cursors_) cursors.push_back(cursor);
  return cursors;
}

uint64_t LocalCatalogue::next_id() const {
  MutexLock lock(mu_);
  return next_id_;
}

View::Checkpoint LocalCatalogue::BeginCheckpoint() {
  MutexLock lock(mu_);
  View::Checkpoint checkpoint;
  checkpoint.next_id = next_id_;
  for (const auto& [id, log] : logs_) {
    if (!log->changed()) continue;
    std::vector<BatchLocation> batches;
    checkpoint.topics.push_back(log->BeginCheckpoint(&batches));
    if (!batches.empty()) checkpoint.batches.emplace_back(id, std::move(batches));
  }
  for (const auto& [id, cursor] : cursors_) {
    if (cursor->changed()) checkpoint.subscriptions.push_back(cursor->BeginCheckpoint());
  }
  checkpoint.removed_topics = std::exchange(removed_topics_, {});
  checkpoint.removed_subscriptions = std::exchange(removed_subscriptions_, {});
  return checkpoint;
}

void LocalCatalogue::CheckpointDone(const View::Checkpoint& checkpoint, bool written) {
  MutexLock lock(mu_);
  for (const View::TopicState& topic : checkpoint.topics) {
    if (auto it = logs_.find(topic.id); it != logs_.end()) it->second->CheckpointDone(written);
  }
  for (const View::SubscriptionState& subscription : checkpoint.subscriptions) {
    if (auto it = cursors_.find(subscription.id); it != cursors_.end())
      it->second->CheckpointDone(written);
  }
  if (written) return;
  removed_topics_.insert(removed_topics_.end(), checkpoint.removed_topics.begin(),
                         checkpoint.removed_topics.end());
  removed_subscriptions_.insert(removed_subscriptions_.end(),
                                checkpoint.removed_subscriptions.begin(),
                                checkpoint.removed_subscriptions.end());
}

}  // namespace sluice
