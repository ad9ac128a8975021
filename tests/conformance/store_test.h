// The suite that every store must pass: each claim is a StoreTest, run for each of AllStores().
//
//   TEST_P(LogTest, StartsEmpty) { ... }
//   INSTANTIATE_TEST_SUITE_P(Stores, LogTest, testing::ValuesIn(AllStores()), StoreName);
//
// Thread rule: for one test thread; the helpers that take a log or a cursor may be called from any.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/storage/backend.h"
#include "gtest/gtest.h"
#include "tests/support/answer.h"
#include "tests/support/batches.h"

namespace sluice {

// Bytes to read of a log: all of it.
inline constexpr size_t kEverything = size_t{1} << 30;

// A place where a store's content lives while backends over it come and go. One backend is open at
// a time.
class StoreFixture {
 public:
  virtual ~StoreFixture() = default;
  virtual absl::StatusOr<std::unique_ptr<Backend>> Open() = 0;
};

struct StoreCase {
  std::string name;
  // An empty store.
  std::function<std::unique_ptr<StoreFixture>()> make;
};

std::vector<StoreCase> AllStores();

inline std::string StoreName(const testing::TestParamInfo<StoreCase>& info) {
  return info.param.name;
}

class StoreTest : public testing::TestWithParam<StoreCase> {
 protected:
  StoreTest() : store_(GetParam().make()) { Open(); }
  ~StoreTest() override { Close(); }

  void Open() {
    auto opened = store_->Open();
    if (!opened.ok()) {
      ADD_FAILURE() << opened.status();
      std::abort();
    }
    backend_ = *std::move(opened);
  }
  void Close() {
    if (backend_ == nullptr) return;
    EXPECT_EQ(backend_->Close(), absl::OkStatus());
    backend_ = nullptr;
  }
  // Logs and cursors opened before are of no use after.
  void Reopen() {
    Close();
    Open();
  }

  Catalogue& catalogue() { return backend_->catalogue(); }

  absl::Status PutTopic(TopicId id, std::string config = "topic") {
    Answer<absl::Status> answer;
    catalogue().PutTopic({id, std::move(config)}, answer.callback());
    return answer.Wait();
  }
  absl::Status RemoveTopic(TopicId id) {
    Answer<absl::Status> answer;
    catalogue().RemoveTopic(id, answer.callback());
    return answer.Wait();
  }
  absl::Status PutSubscription(SubscriptionId id, const CursorState* initial,
                               std::string config = "subscription") {
    Answer<absl::Status> answer;
    catalogue().PutSubscription({id, std::move(config)}, initial, answer.callback());
    return answer.Wait();
  }
  absl::Status RemoveSubscription(SubscriptionId id) {
    Answer<absl::Status> answer;
    catalogue().RemoveSubscription(id, answer.callback());
    return answer.Wait();
  }

  TopicId NewTopic() {
    const TopicId id(catalogue().NewId());
    EXPECT_EQ(PutTopic(id), absl::OkStatus());
    return id;
  }
  static CursorState StateAt(uint64_t offset) {
    return {.acked = AckSet(Offset(offset)), .failures = {}};
  }
  SubscriptionId NewSubscription(const CursorState& initial) {
    const SubscriptionId id(catalogue().NewId());
    EXPECT_EQ(PutSubscription(id, &initial), absl::OkStatus());
    return id;
  }

  static absl::Status Append(TopicLog& log, Ref<Batch> batch) {
    Answer<absl::Status> answer;
    log.Append(std::move(batch), answer.callback());
    return answer.Wait();
  }
  static std::vector<Ref<Batch>> Read(TopicLog& log, uint64_t from, size_t max_bytes) {
    Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
    log.Read(Offset(from), max_bytes, answer.callback());
    auto read = answer.Wait();
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? *std::move(read) : std::vector<Ref<Batch>>();
  }
  // Everything from `from` on, in pieces of at least `max_bytes`.
  static std::vector<Ref<Batch>> ReadAll(TopicLog& log, uint64_t from, size_t max_bytes) {
    std::vector<Ref<Batch>> all;
    for (;;) {
      const std::vector<Ref<Batch>> piece = Read(log, from, max_bytes);
      if (piece.empty()) return all;
      all.insert(all.end(), piece.begin(), piece.end());
      from = piece.back()->end().value();
    }
  }
  static Offset OffsetAt(TopicLog& log, absl::Time time) {
    Answer<absl::StatusOr<Offset>> answer;
    log.OffsetAt(time, answer.callback());
    auto offset = answer.Wait();
    EXPECT_TRUE(offset.ok()) << offset.status();
    return offset.value_or(Offset(0));
  }
  static absl::Status Ack(Cursor& cursor, std::vector<OffsetRange> ranges) {
    Answer<absl::Status> answer;
    cursor.Ack(ranges, answer.callback());
    return answer.Wait();
  }

  const std::unique_ptr<StoreFixture> store_;
  std::unique_ptr<Backend> backend_;
};

inline bool operator==(const CursorState& a, const CursorState& b) {
  return a.acked == b.acked && a.failures == b.failures && a.leases == b.leases;
}

inline OffsetRange Range(uint64_t begin, uint64_t end) { return {Offset(begin), Offset(end)}; }

}  // namespace sluice
