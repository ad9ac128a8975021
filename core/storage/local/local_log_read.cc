// How a topic's messages are read: where their records are, in what has not reached the view yet
// and in the view, and the records themselves, several in one read where they are neighbours.
#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/storage/damage.h"
#include "core/storage/local/local_log.h"
#include "fmt/format.h"

namespace sluice {
namespace {

// Batches located at once, and bytes read at once, for one Read.
constexpr size_t kLocateAtOnce = 256;
constexpr size_t kReadAtOnce = size_t{1} << 20;

bool EndsBefore(const BatchLocation& batch, Offset offset) { return batch.end() <= offset; }

}  // namespace

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
