// Backups of a running server, asked for through Admin.CreateCheckpoint.
#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "core/storage/local/backup/restore.h"
#include "core/storage/local/verify.h"
#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/support/fault_files.h"
#include "tests/support/latch.h"

namespace sluice::server {
namespace {

namespace fs = std::filesystem;

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class BackupTest : public ServerTest {
 protected:
  void SetUp() override {
    UseLocalStore();
    options_.backup_dir = folder_.path() + "/backups";
    Start();
  }

  struct Made {
    grpc::Status status;
    v1::CreateCheckpointResponse last;
  };
  Made Checkpoint(const std::string& name, const std::string& base = "", int keep = 0) {
    grpc::ClientContext context;
    Client::SetDeadline(&context);
    return Checkpoint(&context, name, base, keep);
  }
  Made Checkpoint(grpc::ClientContext* context, const std::string& name,
                  const std::string& base = "", int keep = 0) {
    v1::CreateCheckpointRequest request;
    request.set_name(name);
    request.set_base(base);
    request.set_keep(keep);
    auto stub = v1::Admin::NewStub(client_->channel());
    auto stream = stub->CreateCheckpoint(context, request);
    Made made;
    for (v1::CreateCheckpointResponse response; stream->Read(&response);) made.last = response;
    made.status = stream->Finish();
    return made;
  }
  std::string FolderOf(const std::string& name) const { return options_.backup_dir + "/" + name; }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(options_.backup_dir))
      names.push_back(entry.path().filename());
    return names;
  }
  // The server again, over what a restore makes of the backup.
  void StartRestored(const std::string& name) {
    client_ = nullptr;
    server_ = nullptr;
    options_.data_dir = folder_.path() + "/restored";
    ASSERT_EQ(Restore(PosixFileSystem(), FolderOf(name), options_.data_dir, nullptr).status(),
              absl::OkStatus());
    Start();
  }
};

TEST_F(BackupTest, TellsWhatItMade) {
  CreateBoth("orders");
  client_->Publish("orders", {"a", "b"});
  const Made made = Checkpoint("monday");
  ASSERT_EQ(CodeAndReason(made.status), "OK");
  const v1::Checkpoint& checkpoint = made.last.checkpoint();
  EXPECT_EQ(checkpoint.name(), "monday");
  EXPECT_EQ(made.last.done_bytes(), made.last.total_bytes());
  EXPECT_EQ(checkpoint.bytes(), made.last.total_bytes());
  EXPECT_EQ(checkpoint.bytes(), checkpoint.copied_bytes() + checkpoint.linked_bytes());
  EXPECT_EQ(checkpoint.journal_segment(), 1);
  EXPECT_GT(checkpoint.create_time().seconds(), 1'700'000'000);
  client_->Publish("orders", {"too late"});
  StartRestored("monday");
  SubscribeStream stream(*client_, "orders", 10);
  EXPECT_THAT(stream.TakeData(2), testing::ElementsAre("a", "b"));
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 2);
}

TEST_F(BackupTest, NamesLeadNowhereElse) {
  for (const char* bad : {"", ".", "..", "../x", "a/b", "/tmp/x", "a.b", "-rf", "a b"}) {
    const std::string name = bad;
    EXPECT_EQ(CodeAndReason(Checkpoint(name).status), "INVALID_ARGUMENT/INVALID_NAME") << name;
    if (!name.empty()) {
      EXPECT_EQ(CodeAndReason(Checkpoint("good", name).status), "INVALID_ARGUMENT/INVALID_NAME")
          << name;
    }
  }
  EXPECT_EQ(CodeAndReason(Checkpoint(std::string(65, 'a')).status),
            "INVALID_ARGUMENT/INVALID_NAME");
  EXPECT_EQ(CodeAndReason(Checkpoint("good", "", -1).status), "INVALID_ARGUMENT/INVALID_RANGE");
  EXPECT_FALSE(fs::exists(options_.backup_dir));
}

TEST_F(BackupTest, ANameIsTakenOnceAndABaseMustBeThere) {
  EXPECT_EQ(CodeAndReason(Checkpoint("one").status), "OK");
  EXPECT_EQ(CodeAndReason(Checkpoint("one").status), "ALREADY_EXISTS/BACKUP_EXISTS");
  EXPECT_EQ(CodeAndReason(Checkpoint("two", "none").status), "NOT_FOUND/BACKUP_NOT_FOUND");
}

TEST_F(BackupTest, OnlyTheNewestAreKept) {
  fs::create_directories(FolderOf("somebody-elses"));
  for (const char* name : {"one", "two", "three"}) {
    ASSERT_EQ(CodeAndReason(Checkpoint(name).status), "OK");
  }
  ASSERT_EQ(CodeAndReason(Checkpoint("four", "three", 2).status), "OK");
  // The answer comes when the old ones are gone.
  EXPECT_THAT(Names(), UnorderedElementsAre("three", "four", "somebody-elses"));
}

TEST_F(BackupTest, WhatAKilledServerLeftOfOneGoesWithTheNextStart) {
  ASSERT_EQ(CodeAndReason(Checkpoint("kept").status), "OK");
  fs::create_directories(FolderOf("cut.partial/journal"));
  ASSERT_EQ(WriteIncompleteManifest(PosixFileSystem(), FolderOf("cut.partial")), absl::OkStatus());
  fs::create_directories(FolderOf("somebody-elses.partial/files"));
  client_ = nullptr;
  server_ = nullptr;
  Start();
  EXPECT_THAT(Names(), UnorderedElementsAre("kept", "somebody-elses.partial"));
}

class NoBackupTest : public BackupTest {
 protected:
  void SetUp() override {}
};

TEST_F(NoBackupTest, WithoutAFolderItSaysWhichSettingNamesOne) {
  UseLocalStore();
  Start();
  const Made made = Checkpoint("one");
  EXPECT_EQ(CodeAndReason(made.status), "FAILED_PRECONDITION/BACKUPS_DISABLED");
  EXPECT_THAT(made.status.error_message(), HasSubstr("backup_dir"));
}

TEST_F(NoBackupTest, MemoryHasNone) {
  options_.backup_dir = folder_.path() + "/backups";
  Start();
  EXPECT_EQ(CodeAndReason(Checkpoint("one").status), "FAILED_PRECONDITION/BACKUPS_DISABLED");
}

// A backup that stands still in the middle of its work until the test says so.
class SlowBackupTest : public BackupTest {
 protected:
  void SetUp() override {
    options_.files = &files_;
    BackupTest::SetUp();
    CreateBoth("orders");
    files_.OnSync([this] {
      begun_ = true;
      while (!go_on_) absl::SleepFor(absl::Milliseconds(1));
    });
  }
  void TearDown() override {
    go_on_ = true;
    server_ = nullptr;
  }
  void WaitUntilBegun() {
    while (!begun_) absl::SleepFor(absl::Milliseconds(1));
  }

  FaultFiles files_;
  std::atomic<bool> begun_{false};
  std::atomic<bool> go_on_{false};
};

TEST_F(SlowBackupTest, OneAtATime) {
  Made first;
  std::thread thread([&] { first = Checkpoint("one"); });
  WaitUntilBegun();
  EXPECT_EQ(CodeAndReason(Checkpoint("two").status), "ABORTED/CONCURRENT_CHANGE");
  go_on_ = true;
  thread.join();
  EXPECT_EQ(CodeAndReason(first.status), "OK");
  EXPECT_EQ(CodeAndReason(Checkpoint("two").status), "OK");
}

TEST_F(SlowBackupTest, ACallThatIsCancelledLeavesNothing) {
  grpc::ClientContext context;
  Made made;
  std::thread thread([&] { made = Checkpoint(&context, "one"); });
  WaitUntilBegun();
  context.TryCancel();
  thread.join();
  EXPECT_EQ(made.status.error_code(), grpc::StatusCode::CANCELLED);
  go_on_ = true;
  // The server hears of it when it looks.
  while (CodeAndReason(Checkpoint("two").status) != "OK") absl::SleepFor(absl::Milliseconds(1));
  for (const std::string& name : Names()) EXPECT_TRUE(name == "one" || name == "two") << name;
}

TEST_F(SlowBackupTest, TheServerDoesNotWaitForItToShutDown) {
  Made made;
  std::thread thread([&] { made = Checkpoint("one"); });
  WaitUntilBegun();
  std::thread drain([&] { EXPECT_EQ(server_->Drain(), absl::OkStatus()); });
  absl::SleepFor(absl::Milliseconds(50));
  go_on_ = true;
  thread.join();
  drain.join();
  EXPECT_EQ(CodeAndReason(made.status), "UNAVAILABLE/DRAINING");
  EXPECT_THAT(Names(), IsEmpty());
}

// What a publisher and a consumer know at a moment.
struct Known {
  uint64_t published = 0;
  std::set<uint64_t> confirmed;
};

// Publishes numbers at full speed, one batch after the other was answered, and acknowledges what is
// delivered under exactly-once.
class Load {
 public:
  explicit Load(int port)
      : client_(port), publisher_([this] { Publish(); }), consumer_([this] { Consume(); }) {}
  ~Load() { Stop(); }

  void Stop() {
    stop_ = true;
    if (publisher_.joinable()) publisher_.join();
    stream_.Cancel();
    if (consumer_.joinable()) consumer_.join();
  }
  Known known() const {
    MutexLock lock(mu_);
    return known_;
  }

 private:
  static constexpr uint64_t kBatch = 50;

  void Publish() {
    for (uint64_t next = 0; !stop_; next += kBatch) {
      std::vector<std::string> payloads;
      for (uint64_t i = next; i < next + kBatch; ++i)
        payloads.push_back(std::to_string(i) + "-" + std::string(4000, '.'));
      client_.Publish("orders", payloads);
      MutexLock lock(mu_);
      known_.published = next + kBatch;
    }
  }
  // Acknowledges two of three.
  void Consume() {
    std::map<uint64_t, uint64_t> numbers;
    while (!stop_) {
      for (const v1::Delivery& delivery : stream_.Take(kBatch)) {
        const uint64_t number = std::stoull(delivery.message().data());
        numbers[delivery.delivery_id()] = number;
        if (number % 3 != 0) stream_.Ack(delivery.delivery_id());
      }
      MutexLock lock(mu_);
      for (; seen_ < stream_.ack_results().size(); ++seen_) {
        const std::string& result = stream_.ack_results()[seen_];
        if (result.find("OK") == std::string::npos) continue;
        const uint64_t first = std::stoull(result);
        const uint64_t last =
            std::max<uint64_t>(first, std::stoull(result.substr(result.find('-') + 1)));
        for (uint64_t id = first; id <= last; ++id) known_.confirmed.insert(numbers.at(id));
      }
    }
  }

  Client client_;
  SubscribeStream stream_{client_, "orders", 1'000'000};
  std::atomic<bool> stop_{false};
  mutable Mutex mu_;
  Known known_ GUARDED_BY(mu_);
  size_t seen_ GUARDED_BY(mu_) = 0;
  std::thread publisher_;
  std::thread consumer_;
};

TEST_F(BackupTest, UnderLoadTheLastOfARowHasAllThatWasAcknowledgedBeforeIt) {
  ASSERT_EQ(CodeAndReason(client_->CreateTopic("orders")), "OK");
  v1::Subscription subscription;
  subscription.set_name(SubscriptionPath("orders"));
  subscription.set_topic(TopicPath("orders"));
  subscription.set_enable_exactly_once_delivery(true);
  subscription.set_ack_deadline_seconds(600);
  ASSERT_EQ(CodeAndReason(client_->CreateSubscription(subscription)), "OK");
  Known before;
  {
    Load load(server_->grpc_port());
    std::string base;
    for (const char* name : {"full", "second", "third"}) {
      const uint64_t more = before.published + 6'000;
      while (load.known().published < more || load.known().confirmed.empty())
        absl::SleepFor(absl::Milliseconds(5));
      before = load.known();
      ASSERT_EQ(CodeAndReason(Checkpoint(name, base).status), "OK");
      base = name;
    }
    const uint64_t end = load.known().published + 1000;
    while (load.known().published < end) absl::SleepFor(absl::Milliseconds(5));
  }
  auto report = Verify(FolderOf("third"), nullptr);
  ASSERT_EQ(report.status(), absl::OkStatus());
  EXPECT_THAT(report->damages, IsEmpty());
  StartRestored("third");
  const auto stats = client_->Stats("orders");
  v1::GetTopicStatsRequest request;
  v1::GetTopicStatsResponse topic;
  request.set_name(TopicPath("orders"));
  ASSERT_EQ(CodeAndReason(client_->Call(&v1::Admin::Stub::GetTopicStats, request, &topic)), "OK");
  // Ids begin at 1, numbers at 0: exactly one message of each number, in order.
  const uint64_t restored = topic.stats().next_message_id() - 1;
  EXPECT_GE(restored, before.published);
  EXPECT_EQ(restored % 50, 0);
  SubscribeStream stream(*client_, "orders", 1'000'000);
  std::set<uint64_t> delivered;
  for (const v1::Delivery& delivery : stream.Take(static_cast<size_t>(stats.backlog_messages()))) {
    const uint64_t number = std::stoull(delivery.message().data());
    EXPECT_EQ(delivery.message().message_id(), std::to_string(number + 1));
    EXPECT_TRUE(delivered.insert(number).second) << number;
    EXPECT_FALSE(before.confirmed.contains(number))
        << number << " was confirmed to be acknowledged";
  }
  // What was never acknowledged is there to the last one.
  for (uint64_t number = 0; number < restored; number += 3)
    EXPECT_TRUE(delivered.contains(number)) << number;
}

}  // namespace
}  // namespace sluice::server
