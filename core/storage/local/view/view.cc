#include "core/storage/local/view/view.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/storage/local/codec.h"
#include "fmt/format.h"
#include "rocksdb/cache.h"
#include "rocksdb/db.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/listener.h"
#include "rocksdb/table.h"
#include "rocksdb/utilities/checkpoint.h"
#include "rocksdb/write_batch.h"

namespace sluice {
namespace {

constexpr char kBatchPrefix = 'b';
constexpr char kTopicPrefix = 't';
constexpr char kSubscriptionPrefix = 's';
constexpr std::string_view kMetaKey = "m";

rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view FromSlice(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

void AppendBigEndian(std::string* out, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

uint64_t BigEndianAt(std::string_view bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = at; i < at + 8; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string IdKey(char prefix, uint64_t id) {
  std::string key(1, prefix);
  AppendBigEndian(&key, id);
  return key;
}

std::string BatchKey(TopicId topic, Offset first) {
  std::string key = IdKey(kBatchPrefix, topic.value());
  AppendBigEndian(&key, first.value());
  return key;
}

// RocksDB's text names the file and what the system said.
absl::Status ViewError(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = "view: " + status.ToString();
  if (status.IsNoSpace()) return Error(Reason::kStorageFull, text);
  if (status.IsCorruption()) return Error(Reason::kDataLoss, text);
  return Error(Reason::kStorageUnavailable, text);
}

// RocksDB's own log. A file of its own ends the process when the disk is full.
class InfoLog final : public rocksdb::Logger {
 public:
  explicit InfoLog(std::function<void(std::string_view)> on_warning)
      : Logger(rocksdb::InfoLogLevel::WARN_LEVEL), on_warning_(std::move(on_warning)) {}

  void LogHeader(const char*, va_list) override {}
  void Logv(const char*, va_list) override {}
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (!on_warning_ || level < rocksdb::InfoLogLevel::WARN_LEVEL ||
        level == rocksdb::InfoLogLevel::HEADER_LEVEL)
      return;
    char text[1024];
    if (std::vsnprintf(text, sizeof text, format, arguments) < 0) return;
    // What follows are dumps of its structures.
    const std::string_view all(text);
    on_warning_(all.substr(0, all.find('\n')));
  }

 private:
  const std::function<void(std::string_view)> on_warning_;
};

// RocksDB tries by itself again when there was no space, and a flush meanwhile may say OK that
// wrote nothing.
class NoRecovery final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
};

// What earlier releases had RocksDB write.
void RemoveLogFiles(const std::string& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name == "LOG" || name.starts_with("LOG.old.")) std::filesystem::remove(it->path(), ignored);
  }
}

// What is damaged may also look like a file that is missing or like something that is not
// supported.
absl::Status OpenError(const rocksdb::Status& status) {
  if (status.IsInvalidArgument() || status.IsNotSupported() || status.IsNotFound() ||
      status.IsPathNotFound()) {
    return Error(Reason::kDataLoss, "view: " + status.ToString());
  }
  return ViewError(status);
}

absl::Status Unreadable(std::string_view what) {
  return Error(Reason::kDataLoss, fmt::format("view: a {} entry cannot be read", what));
}

std::string EncodeLocation(const BatchLocation& batch) {
  VarintWriter out;
  out.Put(batch.count);
  out.Put(batch.length);
  out.Put(batch.at.segment);
  out.Put(batch.at.offset);
  out.Put(static_cast<uint64_t>(batch.publish_time_us));
  return out.Take();
}

std::optional<BatchLocation> DecodeLocation(std::string_view key, std::string_view value) {
  VarintReader in(value);
  BatchLocation batch;
  batch.first = Offset(BigEndianAt(key, 9));
  batch.count = static_cast<uint32_t>(in.Next());
  batch.length = static_cast<uint32_t>(in.Next());
  batch.at.segment = in.Next();
  batch.at.offset = in.Next();
  batch.publish_time_us = static_cast<int64_t>(in.Next());
  if (!in.ok()) return std::nullopt;
  return batch;
}

std::string EncodeTopic(const View::TopicState& topic) {
  VarintWriter out;
  out.PutBytes(topic.config);
  out.Put(topic.floor.value());
  out.Put(topic.next.value());
  out.Put(topic.spans.size());
  for (const Span& span : topic.spans) {
    out.Put(span.first.value());
    out.Put(span.end - span.first);
    out.Put(span.segment);
    out.Put(span.bytes);
  }
  out.PutBytes(topic.producers.Encode());
  return out.Take();
}

bool DecodeTopic(std::string_view value, View::TopicState* topic) {
  VarintReader in(value);
  topic->config = in.NextBytes();
  topic->floor = Offset(in.Next());
  topic->next = Offset(in.Next());
  for (uint64_t left = in.Next(); left > 0 && in.ok(); --left) {
    Span span;
    span.first = Offset(in.Next());
    span.end = span.first + in.Next();
    span.segment = in.Next();
    span.bytes = in.Next();
    topic->spans.push_back(span);
  }
  if (in.ok() && in.AtEnd()) return true;  // written before there were any
  auto producers = ProducerWindows::Decode(in.NextBytes());
  if (!in.ok() || !producers) return false;
  topic->producers = *std::move(producers);
  return true;
}

bool DecodeSubscription(std::string_view value, View::SubscriptionState* subscription) {
  VarintReader in(value);
  subscription->config = in.NextBytes();
  auto cursor = DecodeCursorState(in.NextBytes());
  if (!in.ok() || !cursor) return false;
  subscription->cursor = *std::move(cursor);
  return true;
}

rocksdb::Options DatabaseOptions(const ViewOptions& view) {
  rocksdb::Options options;
  if (view.env != nullptr) options.env = view.env;
  options.info_log = std::make_shared<InfoLog>(view.on_warning);
  // It is opened again instead, when there is something to write.
  options.max_bgerror_resume_count = 0;
  options.listeners.push_back(std::make_shared<NoRecovery>());
  options.create_if_missing = true;
  // One small memtable and few threads: checkpoints are rare, and an idle server must be small.
  options.write_buffer_size = size_t{8} << 20;
  options.max_write_buffer_number = 2;
  options.max_background_jobs = 2;
  options.max_open_files = 64;
  options.compression = rocksdb::kNoCompression;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.avoid_flush_during_shutdown = true;
  // Tables go into backups and from there anywhere: they need not name the machine.
  options.db_host_id.clear();
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(size_t{8} << 20);
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// Writes in pieces, so that a large checkpoint does not stand in memory twice.
class PieceWriter {
 public:
  explicit PieceWriter(rocksdb::DB& db) : db_(db) { options_.disableWAL = true; }

  rocksdb::WriteBatch& batch() { return batch_; }
  void MaybeWrite() {
    constexpr size_t kPieceBytes = size_t{1} << 20;
    if (batch_.GetDataSize() >= kPieceBytes) Write();
  }
  rocksdb::Status Write() {
    if (status_.ok()) status_ = db_.Write(options_, &batch_);
    batch_.Clear();
    return status_;
  }

 private:
  rocksdb::DB& db_;
  rocksdb::WriteOptions options_;
  rocksdb::WriteBatch batch_;
  rocksdb::Status status_;
};

}  // namespace

class View::Reading {
 public:
  explicit Reading(const View& view) : view_(view) {
    MutexLock lock(view_.mu_);
    while (view_.closing_) view_.changed_.Wait(lock);
    ++view_.readers_;
    db_ = view_.db_.get();
  }
  ~Reading() {
    MutexLock lock(view_.mu_);
    if (--view_.readers_ == 0) view_.changed_.NotifyAll();
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  absl::Status status() const {
    return db_ != nullptr ? absl::OkStatus()
                          : Error(Reason::kStorageUnavailable, "view: could not be opened again");
  }
  rocksdb::DB* operator->() const { return db_; }
  rocksdb::DB& operator*() const { return *db_; }

 private:
  const View& view_;
  rocksdb::DB* db_ = nullptr;
};

View::View(std::string folder, ViewOptions options)
    : folder_(std::move(folder)), options_(std::move(options)) {}
View::~View() = default;

absl::StatusOr<std::unique_ptr<View>> View::Open(const std::string& folder, ViewOptions options) {
  auto view = std::unique_ptr<View>(new View(folder, std::move(options)));
  const absl::Status opened = view->OpenToWrite();
  if (opened.ok()) return view;
  if (ReasonOf(opened) != Reason::kStorageFull || !view->OpenReadOnly().ok()) return opened;
  return view;
}

absl::StatusOr<std::unique_ptr<View>> View::OpenToRead(const std::string& folder) {
  auto view = std::unique_ptr<View>(new View(folder, {}));
  if (absl::Status status = view->OpenReadOnly(); !status.ok()) return status;
  return view;
}

absl::Status View::OpenToWrite() {
  RemoveLogFiles(folder_);
  rocksdb::DB* db = nullptr;
  if (auto status = rocksdb::DB::Open(DatabaseOptions(options_), folder_, &db); !status.ok())
    return OpenError(status);
  takes_writes_ = true;
  SetDatabase(db);
  return absl::OkStatus();
}

absl::Status View::OpenReadOnly() {
  rocksdb::DB* db = nullptr;
  rocksdb::Options options = DatabaseOptions(options_);
  options.create_if_missing = false;
  if (auto status = rocksdb::DB::OpenForReadOnly(options, folder_, &db); !status.ok())
    return OpenError(status);
  SetDatabase(db);
  return absl::OkStatus();
}

// What a failed write left in memory is lost, as in a crash.
absl::Status View::Reopen() {
  CloseDatabase();
  absl::Status opened = OpenToWrite();
  if (!opened.ok() && !OpenReadOnly().ok()) SetDatabase(nullptr);
  return opened;
}

void View::CloseDatabase() {
  std::unique_ptr<rocksdb::DB> closed;
  MutexLock lock(mu_);
  closing_ = true;
  while (readers_ > 0) changed_.Wait(lock);
  closed = std::move(db_);
  // Nobody waits for the lock while it is closed, only for its end.
  lock.Unlock();
}

void View::SetDatabase(rocksdb::DB* db) {
  MutexLock lock(mu_);
  db_.reset(db);
  closing_ = false;
  changed_.NotifyAll();
}

absl::Status View::Check() const {
  const Reading db(*this);
  if (!db.status().ok()) return db.status();
  const rocksdb::Status status = db->VerifyChecksum();
  return status.ok() ? absl::OkStatus() : OpenError(status);
}

absl::StatusOr<View::Contents> View::Load() const {
  const Reading db(*this);
  if (!db.status().ok()) return db.status();
  Contents contents;
  std::string meta;
  auto status = db->Get({}, ToSlice(kMetaKey), &meta);
  if (status.IsNotFound()) return contents;
  if (!status.ok()) return ViewError(status);
  VarintReader in(meta);
  if (const uint64_t version = in.Next(); version > kViewVersion) {
    return Error(Reason::kNewerFormat,
                 fmt::format("view: format {}, but this program knows formats up to {}", version,
                             kViewVersion));
  }
  contents.position.segment = in.Next();
  contents.position.offset = in.Next();
  contents.next_id = in.Next();
  if (!in.ok()) return Unreadable("meta");
  std::unique_ptr<rocksdb::Iterator> it(db->NewIterator({}));
  for (it->Seek(rocksdb::Slice(&kTopicPrefix, 1)); it->Valid() && it->key()[0] == kTopicPrefix;
       it->Next()) {
    TopicState topic;
    topic.id = TopicId(BigEndianAt(FromSlice(it->key()), 1));
    if (!DecodeTopic(FromSlice(it->value()), &topic)) return Unreadable("topic");
    contents.topics.push_back(std::move(topic));
  }
  if (!it->status().ok()) return ViewError(it->status());
  for (it->Seek(rocksdb::Slice(&kSubscriptionPrefix, 1));
       it->Valid() && it->key()[0] == kSubscriptionPrefix; it->Next()) {
    SubscriptionState subscription;
    subscription.id = SubscriptionId(BigEndianAt(FromSlice(it->key()), 1));
    if (!DecodeSubscription(FromSlice(it->value()), &subscription))
      return Unreadable("subscription");
    contents.subscriptions.push_back(std::move(subscription));
  }
  if (!it->status().ok()) return ViewError(it->status());
  return contents;
}

absl::StatusOr<std::vector<BatchLocation>> View::Find(TopicId topic, Offset from,
                                                      size_t limit) const {
  const Reading db(*this);
  if (!db.status().ok()) return db.status();
  const std::string upper = BatchKey(topic + 1, Offset(0));
  const rocksdb::Slice bound(upper);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &bound;
  std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(options));
  // The batch that holds `from` begins at it or before it.
  it->SeekForPrev(BatchKey(topic, from));
  if (!it->status().ok()) return ViewError(it->status());
  if (!it->Valid() ||
      FromSlice(it->key()).substr(0, 9) != std::string_view(BatchKey(topic, from)).substr(0, 9)) {
    it->Seek(BatchKey(topic, from));
  }
  std::vector<BatchLocation> found;
  for (; it->Valid() && found.size() < limit; it->Next()) {
    auto batch = DecodeLocation(FromSlice(it->key()), FromSlice(it->value()));
    if (!batch) return Unreadable("batch");
    if (batch->end() > from) found.push_back(*batch);
  }
  if (!it->status().ok()) return ViewError(it->status());
  return found;
}

// Not a binary search: the wall clock may have been set back meanwhile.
absl::StatusOr<std::optional<Offset>> View::OffsetAt(TopicId topic, int64_t time_us, Offset from,
                                                     Offset end) const {
  constexpr size_t kAtOnce = 1024;
  while (from < end) {
    auto batches = Find(topic, from, kAtOnce);
    if (!batches.ok()) return batches.status();
    if (batches->empty()) break;
    for (const BatchLocation& batch : *batches) {
      if (batch.first >= end) return std::nullopt;
      if (batch.publish_time_us >= time_us) return batch.first;
    }
    from = batches->back().end();
  }
  return std::nullopt;
}

absl::Status View::Write(const Checkpoint& checkpoint) {
  if (!takes_writes_ || FailedInBackground()) {
    takes_writes_ = false;
    if (absl::Status status = Reopen(); !status.ok()) return status;
  }
  absl::Status written = WriteNow(checkpoint);
  takes_writes_ = written.ok();
  return written;
}

absl::Status View::WriteNow(const Checkpoint& checkpoint) {
  const Reading db(*this);
  if (!db.status().ok()) return db.status();
  PieceWriter writer(*db);
  // First, since an id may have come back.
  for (TopicId topic : checkpoint.removed_topics) {
    writer.batch().DeleteRange(BatchKey(topic, Offset(0)), BatchKey(topic + 1, Offset(0)));
    writer.batch().Delete(IdKey(kTopicPrefix, topic.value()));
  }
  for (SubscriptionId subscription : checkpoint.removed_subscriptions) {
    writer.batch().Delete(IdKey(kSubscriptionPrefix, subscription.value()));
  }
  for (const auto& [topic, batches] : checkpoint.batches) {
    for (const BatchLocation& batch : batches) {
      writer.batch().Put(BatchKey(topic, batch.first), EncodeLocation(batch));
      writer.MaybeWrite();
    }
  }
  // The floors are looked for among the batches.
  if (auto status = writer.Write(); !status.ok()) return ViewError(status);
  for (const TopicState& topic : checkpoint.topics) {
    // What lies below the floor; a batch that reaches across it stays. Range deletions slow down
    // reading, so none for nothing.
    if (topic.has_batches) {
      auto first = Find(topic.id, topic.floor, 1);
      if (!first.ok()) return first.status();
      const Offset keep =
          first->empty() ? topic.floor : std::min(first->front().first, topic.floor);
      writer.batch().DeleteRange(BatchKey(topic.id, Offset(0)), BatchKey(topic.id, keep));
    }
    writer.batch().Put(IdKey(kTopicPrefix, topic.id.value()), EncodeTopic(topic));
    writer.MaybeWrite();
  }
  for (const SubscriptionState& subscription : checkpoint.subscriptions) {
    VarintWriter value;
    value.PutBytes(subscription.config);
    value.PutBytes(Encode(subscription.cursor));
    writer.batch().Put(IdKey(kSubscriptionPrefix, subscription.id.value()), value.Take());
    writer.MaybeWrite();
  }
  // Last, so that a crash before the flush leaves entries too many but never a position too far.
  VarintWriter meta;
  meta.Put(kViewVersion);
  meta.Put(checkpoint.position.segment);
  meta.Put(checkpoint.position.offset);
  meta.Put(checkpoint.next_id);
  writer.batch().Put(ToSlice(kMetaKey), meta.Take());
  if (auto status = writer.Write(); !status.ok()) return ViewError(status);
  rocksdb::FlushOptions flush;
  flush.allow_write_stall = true;
  if (auto status = db->Flush(flush); !status.ok()) return ViewError(status);
  // The journal lets go of what this reflects, so one look more: there is nothing in memory.
  for (const std::string& property : {rocksdb::DB::Properties::kNumImmutableMemTable,
                                      rocksdb::DB::Properties::kNumEntriesActiveMemTable}) {
    uint64_t left = 0;
    if (db->GetIntProperty(property, &left) && left == 0) continue;
    return Error(Reason::kStorageUnavailable, "view: a flush left entries in memory");
  }
  return absl::OkStatus();
}

bool View::FailedInBackground() const {
  const Reading db(*this);
  uint64_t errors = 0;
  return db.status().ok() &&
         db->GetIntProperty(rocksdb::DB::Properties::kBackgroundErrors, &errors) && errors > 0;
}

absl::Status View::LinkTo(const std::string& folder) {
  const Reading db(*this);
  if (!db.status().ok()) return db.status();
  rocksdb::Checkpoint* made = nullptr;
  if (auto status = rocksdb::Checkpoint::Create(&*db, &made); !status.ok())
    return ViewError(status);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  absl::Status linked = ViewError(checkpoint->CreateCheckpoint(folder));
  // It may have been a write of its own that failed.
  if (!linked.ok()) takes_writes_ = false;
  return linked;
}

}  // namespace sluice
