#include "core/storage/local/local_log.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/message/limits.h"
#include "core/storage/config_name.h"
#include "core/storage/damage.h"
#include "core/storage/local/codec.h"
#include "core/storage/local/local_cursor.h"
#include "fmt/format.h"

namespace sluice {
namespace {

// A span is not made larger than this, so that what is half dead is known well enough.
constexpr uint64_t kMaxSpanBytes = uint64_t{4} << 20;
}  // namespace

LocalLog::LocalLog(LogContext& context, View::TopicState state)
    : context_(context),
      id_(state.id),
      config_(std::move(state.config)),
      config_lost_(IsLostConfig(config_)),
      floor_(state.floor),
      next_(state.next),
      writing_next_(state.next),
      producers_(std::move(state.producers)),
      spans_(std::move(state.spans)) {
  for (const Span& span : spans_) context_.use.Add(span.segment, span.bytes);
}

LocalLog::~LocalLog() = default;

std::string LocalLog::name() const {
  MutexLock lock(mu_);
  return NameOrNumber(config_, id_.value());
}

absl::Status LocalLog::Damaged(const BatchLocation& batch) const {
  return DamageError(name(), {batch.first, batch.end()}, SegmentName(batch.at.segment),
                     batch.at.offset);
}

// Checks the record in `bytes` and copies its batch out.
absl::StatusOr<Ref<Batch>> LocalLog::BatchFrom(std::string_view bytes,
                                               const BatchLocation& location) const {
  const auto header = DecodeHeader(bytes);
  if (!header || header->length != location.length || header->id != id_.value() ||
      header->first != location.first.value() || !ChecksumHolds(bytes, *header)) {
    return Damaged(location);
  }
  auto batch = Batch::Decode(
      location.first, BatchIn(header->kind, bytes.substr(kRecordHeaderBytes, header->length)));
  if (!batch.ok()) return Damaged(location);
  return batch;
}

absl::Status LocalLog::CheckConfig() const {
  {
    MutexLock lock(mu_);
    if (!config_lost_) return absl::OkStatus();
  }
  return Error(
      Reason::kDataLoss,
      fmt::format(
          "topic {}: its settings are damaged on the disk; its messages are kept. Update the "
          "topic to give it settings again, or delete it",
          name()));
}

uint64_t LocalLog::LiveBytes() const {
  uint64_t bytes = 0;
  for (const Span& span : spans_) bytes += span.bytes;
  if (!spans_.empty() && spans_.front().first < floor_) {
    // Part of the first span is dead: take it as evenly spread.
    const Span& span = spans_.front();
    const double dead =
        static_cast<double>(floor_ - span.first) / static_cast<double>(span.end - span.first);
    bytes -= static_cast<uint64_t>(static_cast<double>(span.bytes) * dead);
  }
  return bytes;
}

LogExtent LocalLog::extent() const {
  MutexLock lock(mu_);
  return {floor_, next_, LiveBytes()};
}

Offset LocalLog::next() const {
  MutexLock lock(mu_);
  return next_;
}

void LocalLog::Append(Ref<Batch> batch, StoreDone done) {
  if (removed())
    return done(Error(Reason::kTopicDeleted, fmt::format("topic {} was deleted", name())));
  if (absl::Status status = CheckConfig(); !status.ok()) return done(status);
  JournalEntry entry;
  entry.header.kind = RecordKind::kBatch;
  entry.header.count = batch->count();
  entry.header.id = id_.value();
  if (batch->producer() != nullptr) {
    entry.header.kind = RecordKind::kBatchOfProducer;
    entry.bytes = EncodeProducerPrefix(*batch->producer());
    entry.bytes += batch->record();
  }
  entry.batch = std::move(batch);
  entry.target = shared_from_this();
  entry.done = std::move(done);
  context_.committer.Submit(std::move(entry));
}

// Two targets of one entry.
class LocalLog::AppendAndAckTarget final : public JournalTarget {
 public:
  AppendAndAckTarget(std::shared_ptr<LocalLog> log, std::shared_ptr<LocalCursor> source,
                     std::vector<OffsetRange> ranges)
      : log_(std::move(log)), source_(std::move(source)), ranges_(std::move(ranges)) {}

  void BeforeWrite(JournalEntry& entry) override { log_->BeforeWrite(entry); }
  void AfterWrite(const JournalEntry& entry, const absl::Status& status,
                  const JournalPosition& at) override {
    log_->AfterWrite(entry, status, at);
    if (status.ok()) source_->Acked(ranges_);
  }

 private:
  const std::shared_ptr<LocalLog> log_;
  const std::shared_ptr<LocalCursor> source_;
  const std::vector<OffsetRange> ranges_;
};

void LocalLog::AppendAndAck(Ref<Batch> batch, std::shared_ptr<Cursor> source,
                            std::vector<OffsetRange> ranges, StoreDone done) {
  if (removed())
    return done(Error(Reason::kTopicDeleted, fmt::format("topic {} was deleted", name())));
  if (absl::Status status = CheckConfig(); !status.ok()) return done(status);
  auto cursor = std::static_pointer_cast<LocalCursor>(std::move(source));
  JournalEntry entry;
  entry.header.kind = RecordKind::kBatchAndAck;
  entry.header.count = batch->count();
  entry.header.id = id_.value();
  entry.bytes = EncodeAckPrefix(cursor->id(), ranges);
  entry.bytes += batch->record();
  entry.batch = std::move(batch);
  entry.target = std::make_shared<AppendAndAckTarget>(shared_from_this(), std::move(cursor),
                                                      std::move(ranges));
  entry.done = std::move(done);
  context_.committer.Submit(std::move(entry));
}

void LocalLog::BeforeWrite(JournalEntry& entry) {
  if (!IsNewBatch(entry.header.kind)) return;
  MutexLock lock(mu_);
  entry.batch->set_first(writing_next_);
  entry.header.first = writing_next_.value();
  writing_next_ += entry.header.count;
}

void LocalLog::AfterWrite(const JournalEntry& entry, const absl::Status& status,
                          const JournalPosition& at) {
  MutexLock lock(mu_);
  if (!status.ok()) {
    writing_next_ = next_;
    return;
  }
  if (removed_) return;
  const BatchLocation batch{Offset(entry.header.first), entry.header.count,
                            static_cast<uint32_t>(entry.payload().size()), at,
                            entry.batch->publish_time_us()};
  IsNewBatch(entry.header.kind) ? Add(batch) : Move(batch);
  if (entry.header.kind == RecordKind::kBatchOfProducer) {
    producers_.Add(*entry.batch->producer(), {batch.first, batch.end()});
  }
}

void LocalLog::Add(const BatchLocation& batch) {
  changed_ = true;
  // The opening counted it.
  if (batch.damaged()) Know({batch.first, batch.end()});
  next_ = batch.end();
  writing_next_ = std::max(writing_next_, next_);
  recent_.push_back(batch);
  const uint64_t bytes = batch.length;
  if (spans_.empty() || spans_.back().segment != batch.at.segment ||
      spans_.back().bytes + bytes > kMaxSpanBytes || spans_.back().end != batch.first) {
    spans_.push_back({batch.first, batch.first, batch.at.segment, 0});
  }
  spans_.back().end = batch.end();
  spans_.back().bytes += bytes;
  context_.use.Add(batch.at.segment, bytes);
}

// The batch was appended again elsewhere: its old place is dead, its new one alive.
void LocalLog::Move(const BatchLocation& batch) {
  if (batch.end() <= floor_) return;
  changed_ = true;
  moved_[batch.first] = batch;
  auto it = std::partition_point(spans_.begin(), spans_.end(),
                                 [&](const Span& s) { return s.end <= batch.first; });
  if (it == spans_.end()) return;
  // The span is cut around the batch.
  const Span old = *it;
  const uint64_t bytes = std::min<uint64_t>(old.bytes, batch.length);
  const uint64_t left = old.bytes - bytes;
  const auto share = static_cast<uint64_t>(
      static_cast<double>(left) *
      static_cast<double>(batch.first - std::min(old.first, batch.first)) /
      std::max(1.0, static_cast<double>((old.end - old.first) - batch.count)));
  it = spans_.erase(it);
  std::vector<Span> parts;
  if (old.first < batch.first)
    parts.push_back({old.first, batch.first, old.segment, batch.end() < old.end ? share : left});
  parts.push_back({batch.first, batch.end(), batch.at.segment, bytes});
  if (batch.end() < old.end) {
    parts.push_back(
        {batch.end(), old.end, old.segment, old.first < batch.first ? left - share : left});
  }
  // Neighbours moved one after the other become one span again.
  if (it != spans_.begin() && parts.size() == 2 && parts.front().first == batch.first) {
    Span& previous = *std::prev(it);
    if (previous.segment == batch.at.segment && previous.end == batch.first &&
        previous.bytes + bytes <= kMaxSpanBytes) {
      previous.end = batch.end();
      previous.bytes += bytes;
      parts.erase(parts.begin());
    }
  }
  spans_.insert(it, parts.begin(), parts.end());
  context_.use.Drop(old.segment, bytes);
  context_.use.Add(batch.at.segment, bytes);
}

void LocalLog::Replayed(const RecordHeader& header, const JournalPosition& at,
                        int64_t publish_time_us) {
  MutexLock lock(mu_);
  const BatchLocation batch{Offset(header.first), header.count, header.length, at, publish_time_us};
  if (header.kind == RecordKind::kBatchMoved) return Move(batch);
  if (batch.first < next_) return;  // the view has it already
  if (batch.first > next_) {
    // Records in between are lost.
    const JournalPosition& lost_at = lost_ && lost_->first == next_ ? lost_->at : at;
    Add({next_, static_cast<uint32_t>(batch.first - next_), 0, lost_at, publish_time_us});
  }
  Add(batch);
}

void LocalLog::ReplayedProducer(const ProducerTag& tag, OffsetRange offsets) {
  MutexLock lock(mu_);
  producers_.Add(tag, offsets);
}

absl::StatusOr<std::optional<OffsetRange>> LocalLog::FindProduced(const ProducerTag& tag) const {
  MutexLock lock(mu_);
  return producers_.Find(tag);
}

void LocalLog::ReplayedDamage(Offset first, uint32_t count, const JournalPosition& at) {
  MutexLock lock(mu_);
  if (first != next_) return;
  // Any part of the header may be what is damaged; the next batch of this topic, if there is one,
  // tells the true count.
  const auto most = static_cast<uint32_t>(kMaxMessagesPerBatch);
  // When it was published is not known: not before the one in front of it.
  const int64_t publish_time_us = recent_.empty() ? 0 : recent_.back().publish_time_us;
  lost_ = {first, std::clamp<uint32_t>(count, 1, most), 0, at, publish_time_us};
}

void LocalLog::ReplayedExtent(Offset floor, ProducerWindows producers) {
  {
    MutexLock lock(mu_);
    producers_ = std::move(producers);
    changed_ = true;
  }
  Trim(floor);
}

void LocalLog::Rebuilt(Offset floor, Offset next, const std::vector<BatchLocation>& batches) {
  MutexLock lock(mu_);
  floor_ = next_ = floor;
  const auto lose_until = [&](Offset end, const BatchLocation& near) {
    mu_.AssertHeld();
    if (next_ < end)
      Add({next_, static_cast<uint32_t>(end - next_), 0, near.at, near.publish_time_us});
  };
  for (const BatchLocation& batch : batches) {
    if (batch.end() <= next_) continue;
    lose_until(batch.first, batch);
    Add(batch);
  }
  lose_until(next, batches.empty() ? BatchLocation() : batches.back());
  writing_next_ = next_;
}

void LocalLog::ReplayEnded() {
  MutexLock lock(mu_);
  if (lost_ && lost_->first == next_) Add(*lost_);
  lost_.reset();
  // A checkpoint that a crash cut off may have left something there.
  in_view_ = true;
}

void LocalLog::Trim(Offset before) {
  MutexLock lock(mu_);
  before = std::min(before, next_);
  // Without its settings nobody knows what may go.
  if (before <= floor_ || config_lost_) return;
  floor_ = before;
  changed_ = true;
  const auto alive = std::find_if(spans_.begin(), spans_.end(), [this](const Span& span) {
    mu_.AssertHeld();
    return span.end > floor_;
  });
  for (auto dead = spans_.begin(); dead != alive; ++dead)
    context_.use.Drop(dead->segment, dead->bytes);
  spans_.erase(spans_.begin(), alive);
  // What a checkpoint is saving right now stays until it is done.
  while (saving_ == 0 && !recent_.empty() && recent_.front().end() <= floor_) recent_.pop_front();
  if (saving_ == 0) moved_.erase(moved_.begin(), moved_.lower_bound(floor_));
}

void LocalLog::Remove() {
  MutexLock lock(mu_);
  removed_ = true;
  for (const Span& span : spans_) context_.use.Drop(span.segment, span.bytes);
  spans_.clear();
  recent_.clear();
  moved_.clear();
  saving_ = 0;
  floor_ = next_;
}

bool LocalLog::removed() const {
  MutexLock lock(mu_);
  return removed_;
}

std::string LocalLog::config() const {
  MutexLock lock(mu_);
  return config_;
}

void LocalLog::SetConfig(std::string config) {
  MutexLock lock(mu_);
  config_ = std::move(config);
  config_lost_ = IsLostConfig(config_);
  changed_ = true;
}

View::TopicState LocalLog::state() const {
  MutexLock lock(mu_);
  return {id_, config_, floor_, next_, {}, producers_};
}

bool LocalLog::changed() const {
  MutexLock lock(mu_);
  return changed_;
}

size_t LocalLog::unsaved() const {
  MutexLock lock(mu_);
  return recent_.size();
}

View::TopicState LocalLog::BeginCheckpoint(std::vector<BatchLocation>* batches) {
  MutexLock lock(mu_);
  saving_ = recent_.size();
  for (const BatchLocation& batch : recent_) {
    if (batch.end() > floor_) batches->push_back(batch);
  }
  saving_moved_.clear();
  for (const auto& [first, batch] : moved_) saving_moved_.push_back(batch);
  batches->insert(batches->end(), saving_moved_.begin(), saving_moved_.end());
  changed_ = false;
  const bool in_view = in_view_ || !batches->empty();
  in_view_ = in_view && floor_ < next_;
  return {id_, config_, floor_, next_, spans_, producers_, in_view};
}

void LocalLog::CheckpointDone(bool written) {
  MutexLock lock(mu_);
  if (written) {
    for (; saving_ > 0 && !recent_.empty(); --saving_) recent_.pop_front();
    if (recent_.empty()) recent_ = {};
    if (spans_.empty()) spans_.shrink_to_fit();
    for (const BatchLocation& batch : saving_moved_) {
      auto it = moved_.find(batch.first);
      if (it != moved_.end() && it->second.at == batch.at) moved_.erase(it);
    }
  } else {
    changed_ = in_view_ = true;
  }
  saving_ = 0;
  saving_moved_.clear();
}

}  // namespace sluice
