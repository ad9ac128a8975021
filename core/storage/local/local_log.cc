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
// Batches located at once, and bytes read at once, for one Read.
constexpr size_t kLocateAtOnce = 256;
constexpr size_t kReadAtOnce = size_t{1} << 20;

bool EndsBefore(const BatchLocation& batch, Offset offset) { return batch.end() <= offset; }

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

// Where up to `limit` batches are, from the one that holds `from` on.
absl::StatusOr<std::vector<BatchLocation>> LocalLog::Locate(Offset from, size_t limit) const {
  std::vector<BatchLocation> found;
  Offset recent_begin;
  {
    MutexLock lock(mu_);
    from = std::max(from, floor_);
    recent_begin = recent_.empty() ? next_ : recent_.front().first;
  }
  if (from < recent_begin) {
    auto older = context_.view.Find(id_, from, limit);
    if (!older.ok()) return older.status();
    found = *std::move(older);
  }
  MutexLock lock(mu_);
  for (BatchLocation& batch : found) {
    if (auto moved = moved_.find(batch.first); moved != moved_.end()) batch = moved->second;
  }
  const Offset at = found.empty() ? from : found.back().end();
  auto it = std::partition_point(recent_.begin(), recent_.end(),
                                 [at](const auto& b) { return EndsBefore(b, at); });
  for (; it != recent_.end() && found.size() < limit; ++it) {
    auto moved = moved_.find(it->first);
    found.push_back(moved == moved_.end() ? *it : moved->second);
  }
  return found;
}

absl::StatusOr<Ref<Batch>> LocalLog::ReadRecord(const BatchLocation& batch) const {
  if (batch.damaged()) return Damaged(batch);
  std::string bytes(kRecordHeaderBytes + batch.length, '\0');
  if (absl::Status status = context_.journal.Read(batch.at, bytes.data(), bytes.size());
      !status.ok())
    return status;
  context_.metrics.read_bytes.Add(bytes.size());
  return BatchFrom(bytes, batch);
}

absl::StatusOr<Ref<Batch>> LocalLog::ReadBatch(const BatchLocation& batch) const {
  auto read = ReadRecord(batch);
  if (DamagedMessages(read.status())) TellReadFailed(read.status());
  return read;
}

absl::StatusOr<std::vector<Ref<Batch>>> LocalLog::ReadNow(Offset from, size_t max_bytes) const {
  if (absl::Status status = CheckConfig(); !status.ok()) return status;
  constexpr int kTries = 3;
  for (int tries = 1;; ++tries) {
    auto read = ReadLocated(from, max_bytes);
    // Between looking a batch up and reading it, it may have been moved and its segment deleted.
    if (absl::IsDataLoss(read.status()) && tries < kTries) continue;
    TellReadFailed(read.status());
    return read;
  }
}

bool LocalLog::Know(OffsetRange damaged) const {
  if (!damaged_) damaged_ = std::make_unique<AckSet>();
  return damaged_->Add(damaged) > 0;
}

// The disk's failures readers only wait for, and each is told. Damage they are told of themselves:
// it is told here once, however often it is read.
void LocalLog::TellReadFailed(const absl::Status& status) const {
  if (status.ok()) return;
  if (absl::IsDataLoss(status)) {
    const auto damaged = DamagedMessages(status);
    if (!damaged) return;
    {
      MutexLock lock(mu_);
      if (!Know(*damaged)) return;
    }
    context_.damaged_places.fetch_add(1, std::memory_order_relaxed);
    return context_.Tell(StoreEventOf(StoreEventKind::kDamaged, status));
  }
  context_.metrics.read_errors.Add();
  StoreEvent event = StoreEventOf(StoreEventKind::kReadFailed, status);
  if (event.operation.empty()) event.operation = "read";
  context_.Tell(event);
}

// What cannot be read from located[at] on, up to the next batch that can be.
absl::Status LocalLog::DamagedFrom(const std::vector<BatchLocation>& located, size_t at) const {
  const BatchLocation& first = located[at];
  Offset end = first.end();
  for (++at; at < located.size() && located[at].first == end &&
             absl::IsDataLoss(ReadRecord(located[at]).status());
       ++at) {
    end = located[at].end();
  }
  return DamageError(name(), {first.first, end}, SegmentName(first.at.segment), first.at.offset);
}

// Neighbours in the journal are read together: located[begin, end), `bytes` from the first on.
// `total` counts the records of one Read behind its first.
size_t LocalLog::NeighboursEnd(const std::vector<BatchLocation>& located, size_t begin,
                               bool is_first, size_t max_bytes, size_t* total, uint64_t* bytes) {
  const BatchLocation& first = located[begin];
  size_t end = begin;
  for (; end < located.size(); ++end) {
    const BatchLocation& batch = located[end];
    const uint64_t up_to = batch.at.offset + kRecordHeaderBytes + batch.length - first.at.offset;
    const bool near = batch.at.segment == first.at.segment && batch.at.offset >= first.at.offset &&
                      up_to <= kReadAtOnce;
    if (end > begin && (batch.damaged() || !near || *total + batch.length > max_bytes)) break;
    if (!is_first || end > begin) *total += batch.length;
    *bytes = up_to;
  }
  return end;
}

absl::StatusOr<std::vector<Ref<Batch>>> LocalLog::ReadLocated(Offset from, size_t max_bytes) const {
  auto located = Locate(from, kLocateAtOnce);
  if (!located.ok()) return located.status();
  std::vector<Ref<Batch>> read;
  std::string buffer;
  size_t total = 0;
  for (size_t i = 0; i < located->size();) {
    const BatchLocation& first = (*located)[i];
    // What was read so far may be delivered; the next Read begins at the damage and says so.
    if (first.damaged()) break;
    uint64_t bytes = 0;
    const size_t end = NeighboursEnd(*located, i, read.empty(), max_bytes, &total, &bytes);
    if (!read.empty() && total > max_bytes) return read;
    buffer.resize(bytes);
    absl::Status status = context_.journal.Read(first.at, buffer.data(), bytes);
    // One that cannot be read does not keep those before it from their readers.
    if (!status.ok() && (end > i + 1 || !read.empty() || absl::IsDataLoss(status))) {
      auto alone = ReadRecord(first);
      if (!alone.ok() && read.empty() && !absl::IsDataLoss(alone.status())) return alone.status();
      if (!alone.ok()) break;
      read.push_back(*std::move(alone));
      return read;
    }
    if (!status.ok()) return status;
    context_.metrics.read_bytes.Add(bytes);
    for (; i < end; ++i) {
      const BatchLocation& batch = (*located)[i];
      const std::string_view record = std::string_view(buffer).substr(
          batch.at.offset - first.at.offset, kRecordHeaderBytes + batch.length);
      auto decoded = BatchFrom(record, batch);
      if (!decoded.ok()) {
        if (read.empty()) return DamagedFrom(*located, 0);
        return read;
      }
      read.push_back(*std::move(decoded));
    }
  }
  if (read.empty() && !located->empty()) return DamagedFrom(*located, 0);
  return read;
}

void LocalLog::Read(Offset from, size_t max_bytes, ReadDone done) {
  const bool submitted = context_.readers.Submit(
      [self = shared_from_this(), from, max_bytes, done] { done(self->ReadNow(from, max_bytes)); });
  if (!submitted) {
    done(RetryableError(Reason::kTooMuchInFlight, "too many reads wait for the disk",
                        absl::Milliseconds(100)));
  }
}

absl::StatusOr<std::optional<Offset>> LocalLog::OffsetAtNow(int64_t time_us) const {
  Offset from;
  Offset recent_begin;
  {
    MutexLock lock(mu_);
    from = floor_;
    recent_begin = recent_.empty() ? next_ : recent_.front().first;
  }
  auto found = context_.view.OffsetAt(id_, time_us, from, recent_begin);
  if (!found.ok() || found->has_value()) return found;
  MutexLock lock(mu_);
  const Offset floor = floor_;
  auto it = std::partition_point(recent_.begin(), recent_.end(),
                                 [&](const BatchLocation& b) { return EndsBefore(b, floor); });
  it = std::find_if(it, recent_.end(),
                    [&](const BatchLocation& b) { return b.publish_time_us >= time_us; });
  if (it == recent_.end()) return std::optional<Offset>();
  return std::optional<Offset>(std::max(it->first, floor));
}

void LocalLog::OffsetAt(absl::Time time, OffsetDone done) {
  const bool submitted = context_.readers.Submit([self = shared_from_this(), time, done] {
    auto found = self->OffsetAtNow(absl::ToUnixMicros(time));
    self->TellReadFailed(found.status());
    if (!found.ok()) return done(found.status());
    const LogExtent extent = self->extent();
    done(found->has_value() ? std::max(**found, extent.first) : extent.next);
  });
  if (!submitted) {
    done(RetryableError(Reason::kTooMuchInFlight, "too many reads wait for the disk",
                        absl::Milliseconds(100)));
  }
}

absl::StatusOr<std::vector<BatchLocation>> LocalLog::BatchesIn(uint64_t segment) const {
  std::vector<Span> spans;
  {
    MutexLock lock(mu_);
    for (const Span& span : spans_) {
      if (span.segment == segment)
        spans.push_back({std::max(span.first, floor_), span.end, segment, span.bytes});
    }
  }
  std::vector<BatchLocation> in_segment;
  for (const Span& span : spans) {
    for (Offset at = span.first; at < span.end;) {
      auto located = Locate(at, kLocateAtOnce);
      if (!located.ok()) return located.status();
      if (located->empty()) break;
      for (const BatchLocation& batch : *located) {
        if (batch.first < span.end && batch.at.segment == segment && !batch.damaged())
          in_segment.push_back(batch);
      }
      at = std::max(at + 1, located->back().end());
    }
  }
  return in_segment;
}

}  // namespace sluice
