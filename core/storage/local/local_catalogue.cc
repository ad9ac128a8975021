#include "core/storage/local/local_catalogue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice {
namespace {

absl::Status Unreadable(RecordKind kind) {
  return Error(Reason::kDataLoss,
               fmt::format("journal: a record of kind {} cannot be understood", static_cast<int>(kind)));
}

}  // namespace

absl::StatusOr<Catalogue::Contents> LocalCatalogue::Load() {
  MutexLock lock(mu_);
  Contents contents;
  for (const auto& [id, log] : logs_) contents.topics.push_back({id, log->config()});
  for (const auto& [id, cursor] : cursors_) contents.subscriptions.push_back({id, cursor->config()});
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

void LocalCatalogue::PutSubscription(SubscriptionRecord record, const CursorState* initial, StoreDone done) {
  VarintWriter payload;
  payload.PutBytes(record.config);
  payload.PutBytes(initial == nullptr ? "" : Encode(*initial));
  Submit(RecordKind::kPutSubscription, record.id.value(), payload.Take(), std::move(done));
}

void LocalCatalogue::RemoveSubscription(SubscriptionId id, StoreDone done) {
  Submit(RecordKind::kRemoveSubscription, id.value(), "", std::move(done));
}

void LocalCatalogue::AfterWrite(const JournalEntry& entry, const absl::Status& status, const JournalPosition&) {
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
    cursor = std::make_shared<LocalCursor>(context_.committer, View::SubscriptionState{id, config, *std::move(state)});
  }
  cursor->SetConfig(config);
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
      return absl::OkStatus();
    }
    case RecordKind::kRemoveTopic:
      if (auto it = logs_.find(TopicId(id)); it != logs_.end()) {
        it->second->Remove();
        logs_.erase(it);
      }
      removed_topics_.push_back(TopicId(id));
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
  next_id_ = contents.next_id;
  for (const View::TopicState& topic : contents.topics) {
    logs_[topic.id] = std::make_shared<LocalLog>(context_, topic);
  }
  for (const View::SubscriptionState& subscription : contents.subscriptions) {
    cursors_[subscription.id] = std::make_shared<LocalCursor>(context_.committer, subscription);
  }
}

absl::Status LocalCatalogue::ReplayedBatch(const JournalPosition& at, const RecordHeader& header,
                                           std::string_view payload) const {
  const std::string_view record = BatchIn(header.kind, payload);
  if (absl::Status status = Batch::Check(record); !status.ok()) return status;
  int64_t publish_time_us = 0;
  std::memcpy(&publish_time_us, record.data() + 8, sizeof publish_time_us);
  // A topic that is gone by now may still have records.
  if (auto log = Log(TopicId(header.id))) log->Replayed(header, at, publish_time_us);
  return absl::OkStatus();
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
      if (auto log = Log(TopicId(header.id))) log->ReplayedProducer(*tag, {first, first + header.count});
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
    if (auto it = cursors_.find(subscription.id); it != cursors_.end()) it->second->CheckpointDone(written);
  }
  if (written) return;
  removed_topics_.insert(removed_topics_.end(), checkpoint.removed_topics.begin(), checkpoint.removed_topics.end());
  removed_subscriptions_.insert(removed_subscriptions_.end(), checkpoint.removed_subscriptions.begin(),
                                checkpoint.removed_subscriptions.end());
}

}  // namespace sluice
