// A local store in a folder of its own that crashes when a test says so, with one topic and one
// subscription.
//
// Thread rule: for one test thread.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/storage/local/local_backend.h"
#include "gtest/gtest.h"
#include "tests/support/answer.h"
#include "tests/support/batches.h"
#include "tests/support/fault_files.h"
#include "tests/support/temp_folder.h"

namespace sluice {

class LocalStoreTest : public testing::Test {
 protected:
  LocalOptions OptionsOf(Durability durability = Durability::kFsync) {
    LocalOptions options;
    options.data_dir = folder_.path();
    options.durability = durability;
    options.segment_bytes = 64 << 10;
    options.run_maintenance = false;
    options.files = &files_;
    return options;
  }
  absl::Status Open() { return OpenWith(OptionsOf()); }
  absl::Status OpenWith(const LocalOptions& options) {
    store_ = nullptr;
    auto opened = LocalBackend::Open(options, clock_, metrics_);
    if (!opened.ok()) return opened.status();
    store_ = *std::move(opened);
    log_ = store_->OpenLog(TopicId(1));
    return absl::OkStatus();
  }
  // The process dies: what was written stays, nothing more is.
  void Crash() {
    files_.StopWorld();
    log_ = nullptr;
    store_ = nullptr;
    files_.StartWorld();
  }
  void CreateTopic(uint64_t id = 1) {
    Answer<absl::Status> answer;
    store_->catalogue().PutTopic({TopicId(id), "topic"}, answer.callback());
    ASSERT_EQ(answer.Wait(), absl::OkStatus());
    log_ = store_->OpenLog(TopicId(1));
  }
  // Subscription 2.
  void CreateSubscription() {
    const CursorState start = {.acked = AckSet(Offset(1)), .failures = {}};
    Answer<absl::Status> answer;
    store_->catalogue().PutSubscription({SubscriptionId(2), "sub"}, &start, answer.callback());
    ASSERT_EQ(answer.Wait(), absl::OkStatus());
  }
  absl::Status Append(TopicLog& log, const std::string& payload) {
    Answer<absl::Status> answer;
    log.Append(MakeBatch({payload}), answer.callback());
    return answer.Wait();
  }
  absl::StatusOr<std::vector<std::string>> ReadAll(TopicLog& log) {
    std::vector<std::string> all;
    for (Offset at = log.extent().first;;) {
      Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
      log.Read(at, size_t{1} << 20, answer.callback());
      auto read = answer.Wait();
      if (!read.ok()) return read.status();
      if (read->empty()) return all;
      for (const auto& batch : *read) {
        for (uint32_t i = 0; i < batch->count(); ++i)
          all.emplace_back(MessageView(batch->message(i)).data());
        at = batch->end();
      }
    }
  }
  std::string LastSegment() const {
    std::string last;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path() + "/journal")) {
      if (entry.path().extension() == ".journal") last = std::max(last, entry.path().string());
    }
    return last;
  }
  uint64_t DiskBytes() const { return store_->stats().disk_bytes; }

  TempFolder folder_;
  FaultFiles files_;
  SystemClock clock_;
  StoreMetrics metrics_;
  std::unique_ptr<LocalBackend> store_;
  std::shared_ptr<TopicLog> log_;
};

}  // namespace sluice
