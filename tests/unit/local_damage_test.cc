// Bits that a disk flips in a local store: what they cost, and how it is said.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/storage/config_name.h"
#include "core/storage/damage.h"
#include "core/storage/local/local_backend.h"
#include "core/storage/local/verify.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/answer.h"
#include "tests/support/batches.h"
#include "tests/support/fault_files.h"
#include "tests/support/temp_folder.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string ConfigOf(const std::string& name) {
  return std::string{'\x0a', static_cast<char>(name.size())} + name;
}

class LocalDamageTest : public testing::Test {
 protected:
  absl::Status Open() {
    Crash();
    LocalOptions options;
    options.data_dir = folder_.path();
    options.segment_bytes = 64 << 10;
    options.run_maintenance = false;
    options.maintenance.reclaim_interval = absl::ZeroDuration();
    options.files = &files_;
    options.on_event = [this](const StoreEvent& event) {
      if (event.kind != StoreEventKind::kView) events_.push_back(event);
    };
    auto opened = LocalBackend::Open(options, clock_, metrics_);
    if (!opened.ok()) return opened.status();
    store_ = *std::move(opened);
    return absl::OkStatus();
  }
  void Crash() {
    files_.StopWorld();
    store_ = nullptr;
    files_.StartWorld();
  }
  void CreateTopic(uint64_t id, const std::string& config) {
    Answer<absl::Status> answer;
    store_->catalogue().PutTopic({TopicId(id), config}, answer.callback());
    ASSERT_EQ(answer.Wait(), absl::OkStatus());
  }
  void CreateSubscription(uint64_t id, const std::string& config,
                          const std::optional<CursorState>& initial) {
    Answer<absl::Status> answer;
    store_->catalogue().PutSubscription({SubscriptionId(id), config}, initial ? &*initial : nullptr,
                                        answer.callback());
    ASSERT_EQ(answer.Wait(), absl::OkStatus());
  }
  void Ack(uint64_t subscription, const OffsetRange& range) {
    Answer<absl::Status> answer;
    store_->OpenCursor(SubscriptionId(subscription))->Ack({range}, answer.callback());
    ASSERT_EQ(answer.Wait(), absl::OkStatus());
  }
  absl::Status Append(uint64_t topic, const std::string& payload) {
    Answer<absl::Status> answer;
    store_->OpenLog(TopicId(topic))->Append(MakeBatch({payload}), answer.callback());
    return answer.Wait();
  }
  absl::StatusOr<std::vector<Ref<Batch>>> Read(uint64_t topic, uint64_t from) {
    Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
    store_->OpenLog(TopicId(topic))->Read(Offset(from), size_t{1} << 20, answer.callback());
    return answer.Wait();
  }
  // Of the first message of each.
  static std::vector<std::string> Payloads(const std::vector<Ref<Batch>>& batches) {
    std::vector<std::string> payloads;
    for (const auto& batch : batches) payloads.emplace_back(MessageView(batch->message(0)).data());
    return payloads;
  }
  absl::StatusOr<std::vector<std::string>> ReadAll(uint64_t topic) {
    auto log = store_->OpenLog(TopicId(topic));
    std::vector<std::string> all;
    for (Offset at = log->extent().first;;) {
      Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
      log->Read(at, size_t{1} << 20, answer.callback());
      auto read = answer.Wait();
      if (!read.ok()) return read.status();
      if (read->empty()) return all;
      for (const auto& batch : *read) {
        all.emplace_back(MessageView(batch->message(0)).data());
        at = batch->end();
      }
    }
  }
  std::string Segment(uint64_t sequence) const {
    return folder_.path() + "/journal/" + SegmentName(sequence);
  }
  uint64_t End() const { return store_->stats().disk_bytes; }
  static void Flip(const std::string& path, uint64_t at, int bits = 0x10) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    const auto place = static_cast<std::streamoff>(at);
    const char original = static_cast<char>(file.seekg(place).get());
    file.seekp(place).put(static_cast<char>(original ^ bits));
  }

  TempFolder folder_;
  FaultFiles files_;
  SystemClock clock_;
  StoreMetrics metrics_;
  // Read when the reader has answered.
  std::vector<StoreEvent> events_;
  std::unique_ptr<LocalBackend> store_;
};

TEST_F(LocalDamageTest, AFlippedBitInASegmentsHeaderCostsNothing) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, "topic");
  std::vector<std::string> sent;
  for (int i = 0; i < 15; ++i) {
    sent.push_back(std::to_string(i) + std::string(10'000, '.'));
    ASSERT_EQ(Append(1, sent.back()), absl::OkStatus());
  }
  for (const uint64_t segment : {1, 2, 3}) {
    for (uint64_t at = 0; at < kSegmentHeaderBytes; ++at) {
      Crash();
      Flip(Segment(segment), at);
      ASSERT_EQ(Open(), absl::OkStatus()) << segment << " " << at;
      EXPECT_EQ(store_->stats().damaged_stretches, 1) << segment << " " << at;
      EXPECT_THAT(store_->warnings(), ElementsAre(HasSubstr(Segment(segment))))
          << segment << " " << at;
      EXPECT_EQ(ReadAll(1).value(), sent) << segment << " " << at;
      Flip(Segment(segment), at);
    }
  }
}

TEST_F(LocalDamageTest, ADamagedLastRecordIsSaidToBeCutOff) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, "topic");
  ASSERT_EQ(Append(1, "first"), absl::OkStatus());
  const uint64_t begin = End();
  ASSERT_EQ(Append(1, "synced"), absl::OkStatus());
  const uint64_t end = End();
  Crash();
  Flip(Segment(1), begin + 60);
  const auto report = Verify(folder_.path(), nullptr);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->torn_tail);
  // But for the padding.
  EXPECT_LE(report->torn_bytes, end - begin);
  EXPECT_GT(report->torn_bytes, end - begin - 8);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(store_->warnings(),
              ElementsAre(testing::AllOf(HasSubstr(Segment(1)), HasSubstr(std::to_string(begin)),
                                         HasSubstr("may have been acknowledged"))));
  EXPECT_THAT(ReadAll(1).value(), ElementsAre("first"));
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(store_->warnings(), IsEmpty());
}

TEST_F(LocalDamageTest, ATopicWhoseMakingIsDamagedKeepsItsMessages) {
  const std::string config = ConfigOf("projects/shop/topics/orders") + "\x10\x07";
  for (const bool in_header : {false, true}) {
    std::filesystem::remove_all(folder_.path() + "/journal");
    std::filesystem::remove_all(folder_.path() + "/view");
    ASSERT_EQ(Open(), absl::OkStatus());
    CreateTopic(1, ConfigOf("projects/shop/topics/other"));
    const uint64_t begin = End();
    CreateTopic(2, config);
    ASSERT_EQ(Append(2, "a"), absl::OkStatus());
    ASSERT_EQ(Append(2, "b"), absl::OkStatus());
    Crash();
    // In the magic, or in what follows the name.
    Flip(Segment(1), in_header ? begin : begin + kRecordHeaderBytes + config.size() - 1);
    const std::string name =
        in_header ? "projects/damaged/topics/topic-2" : "projects/shop/topics/orders";
    for (int start = 0; start < 2; ++start) {
      ASSERT_EQ(Open(), absl::OkStatus());
      ASSERT_NE(store_->OpenLog(TopicId(2)), nullptr);
      const auto read = ReadAll(2);
      EXPECT_EQ(ReasonOf(read.status()), Reason::kDataLoss);
      EXPECT_THAT(std::string(read.status().message()), HasSubstr(name));
      EXPECT_EQ(ReasonOf(Append(2, "c")), Reason::kDataLoss);
      EXPECT_EQ(Append(1, "x"), absl::OkStatus());
      store_->OpenLog(TopicId(2))->Trim(Offset(3));
      EXPECT_EQ(store_->OpenLog(TopicId(2))->extent().first, Offset(1));
      // The second time from the view.
      ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
    }
    CreateTopic(2, config);
    EXPECT_THAT(ReadAll(2).value(), ElementsAre("a", "b"));
    EXPECT_EQ(Append(2, "c"), absl::OkStatus());
    ASSERT_EQ(Open(), absl::OkStatus());
    EXPECT_THAT(ReadAll(2).value(), ElementsAre("a", "b", "c"));
  }
}

// Wire format: the name, the topic's number, and a setting that is damaged.
TEST_F(LocalDamageTest, ASubscriptionWhoseMakingIsDamagedHoldsItsMessages) {
  const std::string billing = ConfigOf("projects/shop/subscriptions/billing");
  const std::string settings = std::string("\xa0\x06") + '\x01' + std::string("\x18\x07");
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, ConfigOf("projects/shop/topics/orders"));
  CursorState at_third;
  at_third.acked = AckSet(Offset(3));
  CreateSubscription(2, billing + settings, at_third);
  for (const char* payload : {"a", "b", "c"}) ASSERT_EQ(Append(1, payload), absl::OkStatus());
  const uint64_t begin = End();
  const std::string audit = ConfigOf("projects/shop/subscriptions/audit") + settings;
  CreateSubscription(3, audit, at_third);
  Ack(3, {Offset(1), Offset(2)});
  Crash();
  // What follows the name and the topic's number.
  Flip(Segment(1), begin + kRecordHeaderBytes + 1 + audit.size() - 1);
  for (int start = 0; start < 2; ++start) {
    ASSERT_EQ(Open(), absl::OkStatus());
    if (start == 0) {
      EXPECT_THAT(
          store_->warnings(),
          ElementsAre(HasSubstr("the settings of subscription projects/shop/subscriptions/audit")));
    }
    const auto contents = store_->catalogue().Load();
    ASSERT_EQ(contents->subscriptions.size(), 2);
    const std::string& lost = contents->subscriptions[1].config;
    EXPECT_EQ(NameInConfig(lost), "projects/shop/subscriptions/audit");
    EXPECT_EQ(NumberInConfig(lost, kConfigTopicId), 1);
    EXPECT_TRUE(IsLostConfig(lost));
    EXPECT_FALSE(IsLostConfig(contents->subscriptions[0].config));
    // Where it began is not trusted; what it acknowledged since is.
    EXPECT_EQ(store_->OpenCursor(SubscriptionId(3))->state().acked.floor(), Offset(2));
    EXPECT_EQ(store_->OpenCursor(SubscriptionId(2))->state().acked.floor(), Offset(3));
    ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
  }
}

TEST_F(LocalDamageTest, ADamagedChangeOfASubscriptionLeavesWhatItWas) {
  const std::string config = ConfigOf("projects/shop/subscriptions/billing") + "\x18\x07";
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, ConfigOf("projects/shop/topics/orders"));
  CreateSubscription(2, config, CursorState());
  const uint64_t begin = End();
  CreateSubscription(2, config + "\x20\x07", std::nullopt);
  ASSERT_EQ(Append(1, "a"), absl::OkStatus());
  Crash();
  Flip(Segment(1), begin + kRecordHeaderBytes + 5);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(
      store_->warnings(),
      ElementsAre(HasSubstr("a change of subscription projects/shop/subscriptions/billing")));
  EXPECT_EQ(store_->catalogue().Load()->subscriptions[0].config, config);
}

TEST_F(LocalDamageTest, ARemovedTopicDoesNotComeBackForDamage) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, "topic");
  const uint64_t begin = End();
  ASSERT_EQ(Append(1, "damaged"), absl::OkStatus());
  CreateTopic(2, "removed");
  ASSERT_EQ(Append(2, "a"), absl::OkStatus());
  Answer<absl::Status> removed;
  store_->catalogue().RemoveTopic(TopicId(2), removed.callback());
  ASSERT_EQ(removed.Wait(), absl::OkStatus());
  Crash();
  Flip(Segment(1), begin + 60);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(store_->OpenLog(TopicId(2)), nullptr);
}

TEST_F(LocalDamageTest, ErrorsAndVerifyNameTheTopic) {
  const std::string name = "projects/shop/topics/orders";
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, ConfigOf(name));
  const uint64_t begin = End();
  ASSERT_EQ(Append(1, "damaged"), absl::OkStatus());
  ASSERT_EQ(Append(1, "after"), absl::OkStatus());
  Crash();
  Flip(Segment(1), begin + 60);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(store_->warnings(),
              ElementsAre(testing::AllOf(HasSubstr(name), HasSubstr("from id 1 on"))));
  const std::string error(ReadAll(1).status().message());
  EXPECT_THAT(error, HasSubstr(name));
  EXPECT_THAT(error, HasSubstr("ids 1 to 1"));
  ASSERT_EQ(store_->Close(), absl::OkStatus());
  Crash();
  const auto report = Verify(folder_.path(), nullptr);
  ASSERT_TRUE(report.ok());
  EXPECT_THAT(report->damages, Contains(HasSubstr("topic " + name + " ids 1 to 1")));
}

// While the store is open, as a disk does it.
TEST_F(LocalDamageTest, AReadGivesWhatIsBeforeDamageAndThenSaysWhereItEnds) {
  const std::string name = "projects/shop/topics/orders";
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, ConfigOf(name));
  std::vector<uint64_t> ends;
  for (const std::string payload : {"one", "two", "three", "four", "five"}) {
    ends.push_back(End());
    ASSERT_EQ(Append(1, payload), absl::OkStatus());
  }
  for (const bool from_view : {false, true}) {
    if (from_view) {
      ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
    } else {
      Flip(Segment(1), ends[2] + 60);
      Flip(Segment(1), ends[3] + 60);
    }
    EXPECT_THAT(Payloads(Read(1, 1).value()), ElementsAre("one", "two"));
    EXPECT_THAT(Payloads(Read(1, 5).value()), ElementsAre("five"));
    for (const uint64_t from : {3, 4}) {
      const absl::Status damage = Read(1, from).status();
      EXPECT_EQ(ReasonOf(damage), Reason::kDataLoss);
      const OffsetRange lost{Offset(from), Offset(5)};
      EXPECT_EQ(DamagedMessages(damage), lost);
      EXPECT_THAT(std::string(damage.message()),
                  testing::AllOf(HasSubstr(name), HasSubstr(SegmentName(1)),
                                 HasSubstr("to message id 5"), HasSubstr("skip_damaged")));
    }
  }
  // It was read more than once, and is counted and reported once.
  EXPECT_EQ(store_->stats().damaged_stretches, 1);
  ASSERT_THAT(events_, ElementsAre(testing::Field(&StoreEvent::kind, StoreEventKind::kDamaged)));
  EXPECT_THAT(events_[0].message, testing::AllOf(HasSubstr(name), HasSubstr("ids 3 to 4")));
  EXPECT_EQ(events_[0].path, SegmentName(1));
}

TEST_F(LocalDamageTest, DamageThatTheOpeningCountedIsNotCountedAgainByReaders) {
  ASSERT_EQ(Open(), absl::OkStatus());
  CreateTopic(1, ConfigOf("projects/shop/topics/orders"));
  ASSERT_EQ(Append(1, "one"), absl::OkStatus());
  const uint64_t begin = End();
  ASSERT_EQ(Append(1, "two"), absl::OkStatus());
  ASSERT_EQ(Append(1, "three"), absl::OkStatus());
  Crash();
  Flip(Segment(1), begin + 60);
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_FALSE(Read(1, 2).ok());
  EXPECT_EQ(store_->stats().damaged_stretches, 1);
  EXPECT_THAT(events_, IsEmpty());
  // A later start does not read that part of the journal any more.
  ASSERT_EQ(store_->maintenance().Checkpoint(), absl::OkStatus());
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_EQ(store_->stats().damaged_stretches, 0);
  EXPECT_FALSE(Read(1, 2).ok());
  EXPECT_EQ(store_->stats().damaged_stretches, 1);
  EXPECT_THAT(Payloads(Read(1, 3).value()), ElementsAre("three"));
}

class LocalRebuildTest : public LocalDamageTest {
 protected:
  // A store that has deleted its first segments and moved what lived in them: topic 1 with a few
  // batches, the first ones trimmed, topic 2 full of what died, subscription 3 on topic 1, which
  // has acknowledged message 4, and a topic that was removed.
  void MakeStore() {
    ASSERT_EQ(Open(), absl::OkStatus());
    CreateTopic(1, ConfigOf("projects/shop/topics/orders"));
    CreateTopic(2, ConfigOf("projects/shop/topics/busy"));
    CreateTopic(4, ConfigOf("projects/shop/topics/gone"));
    const CursorState start;
    Answer<absl::Status> put;
    store_->catalogue().PutSubscription(
        {SubscriptionId(3), ConfigOf("projects/shop/subscriptions/s")}, &start, put.callback());
    ASSERT_EQ(put.Wait(), absl::OkStatus());
    Answer<absl::Status> removed;
    store_->catalogue().RemoveTopic(TopicId(4), removed.callback());
    ASSERT_EQ(removed.Wait(), absl::OkStatus());
    for (int i = 0; i < 60; ++i) {
      if (i % 10 == 0) {
        Ref<Batch> batch = MakeBatch({"kept " + std::to_string(i)});
        batch->set_producer({"till", 1, static_cast<uint64_t>(i)});
        Answer<absl::Status> appended;
        store_->OpenLog(TopicId(1))->Append(std::move(batch), appended.callback());
        ASSERT_EQ(appended.Wait(), absl::OkStatus());
      }
      ASSERT_EQ(Append(2, std::string(10'000, 'x')), absl::OkStatus());
    }
    Answer<absl::Status> acked;
    store_->OpenCursor(SubscriptionId(3))
        ->Ack({OffsetRange{Offset(4), Offset(5)}}, acked.callback());
    ASSERT_EQ(acked.Wait(), absl::OkStatus());
    store_->OpenLog(TopicId(1))->Trim(Offset(3));
    store_->OpenLog(TopicId(2))->Trim(Offset(61));
    for (int i = 0; i < 10; ++i) store_->maintenance().RunOnce();
    ASSERT_FALSE(std::filesystem::exists(Segment(1)));
    ASSERT_EQ(Append(1, "last"), absl::OkStatus());
  }
  void ExpectEverything() {
    EXPECT_EQ(store_->OpenLog(TopicId(4)), nullptr);
    EXPECT_EQ(store_->OpenLog(TopicId(1))->extent().first, Offset(3));
    EXPECT_THAT(ReadAll(1).value(),
                ElementsAre("kept 20", "kept 30", "kept 40", "kept 50", "last"));
    EXPECT_EQ(store_->OpenLog(TopicId(2))->extent().first, Offset(61));
    EXPECT_EQ(store_->OpenLog(TopicId(2))->extent().next, Offset(61));
    EXPECT_TRUE(store_->OpenCursor(SubscriptionId(3))->state().acked.Contains(Offset(4)));
    EXPECT_FALSE(store_->OpenCursor(SubscriptionId(3))->state().acked.Contains(Offset(3)));
    const OffsetRange second{Offset(2), Offset(3)};
    EXPECT_EQ(*store_->OpenLog(TopicId(1))->FindProduced({"till", 1, 10}), second);
    EXPECT_GT(store_->catalogue().NewId(), 4);
    EXPECT_EQ(store_->stats().damaged_stretches, 0);
  }
};

TEST_F(LocalRebuildTest, AViewThatIsMissingIsMadeAnewFromTheJournal) {
  MakeStore();
  Crash();
  std::filesystem::remove_all(folder_.path() + "/view");
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(store_->warnings(), ElementsAre(HasSubstr("made anew")));
  ExpectEverything();
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/view.damaged"));
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(store_->warnings(), IsEmpty());
  ExpectEverything();
}

TEST_F(LocalRebuildTest, AViewWithAFlippedBitIsMadeAnew) {
  MakeStore();
  Crash();
  int tables = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() + "/view")) {
    if (entry.path().extension() == ".sst") Flip(entry.path(), 20), ++tables;
  }
  ASSERT_GT(tables, 0);
  const auto report = Verify(folder_.path(), nullptr);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->damages, ElementsAre(HasSubstr("view")));
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(store_->warnings(), ElementsAre(HasSubstr("made anew")));
  ExpectEverything();
}

// As a program before version 2 leaves it, which deleted segments without.
TEST_F(LocalRebuildTest,
       AnOlderStoreThatHasDeletedSegmentsGetsAStateSnapshotSoonInASegmentOfItsOwn) {
  MakeStore();
  Crash();
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() + "/journal")) {
    const auto sequence = SegmentSequence(entry.path().filename().string());
    if (!sequence) continue;
    const std::string header = EncodeSegmentHeader({.sequence = *sequence, .version = 1});
    std::fstream(entry.path(), std::ios::binary | std::ios::in | std::ios::out)
        .write(header.data(), static_cast<std::streamsize>(header.size()));
  }
  ASSERT_EQ(Open(), absl::OkStatus());
  store_->maintenance().RunOnce();
  Crash();
  auto journal = Journal::Open(PosixFileSystem(), folder_.path() + "/journal", {.read_only = true});
  ASSERT_TRUE(journal.ok());
  const uint64_t last = (*journal)->segments().rbegin()->first;
  EXPECT_EQ((*journal)->HeaderOf(last)->version, kJournalVersion);
  int ends = 0;
  const auto on_record = [&](const JournalPosition& at, const RecordHeader& header,
                             std::string_view) {
    ends += at.segment == last && header.kind == RecordKind::kSnapshotEnd ? 1 : 0;
    return absl::OkStatus();
  };
  ASSERT_TRUE((*journal)->Scan({}, on_record, [](uint64_t, const DamagedStretch&) {}).ok());
  EXPECT_GE(ends, 1);
  std::filesystem::remove_all(folder_.path() + "/view");
  ASSERT_EQ(Open(), absl::OkStatus());
  ExpectEverything();
}

// All segments but the last are gone as well, and with them the begin of the state snapshot.
TEST_F(LocalRebuildTest, AnEmptyViewBesideAJournalThatIsNotEnoughIsRefusedAndLeftAlone) {
  MakeStore();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(Append(2, std::string(10'000, 'x')), absl::OkStatus());
  Crash();
  const std::string journal = folder_.path() + "/journal";
  std::vector<std::string> segments;
  for (const auto& entry : std::filesystem::directory_iterator(journal)) {
    if (entry.path().extension() == ".journal") segments.push_back(entry.path());
  }
  std::sort(segments.begin(), segments.end());
  segments.pop_back();
  ASSERT_FALSE(segments.empty());
  std::filesystem::rename(folder_.path() + "/view", folder_.path() + "/kept");
  std::filesystem::create_directory(folder_.path() + "/view");
  for (const std::string& segment : segments) std::filesystem::rename(segment, segment + ".kept");
  for (int start = 0; start < 2; ++start) {
    const absl::Status refused = Open();
    EXPECT_EQ(ReasonOf(refused), Reason::kDataLoss);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("not enough"));
  }
  for (const std::string& segment : segments) std::filesystem::rename(segment + ".kept", segment);
  std::filesystem::remove_all(folder_.path() + "/view");
  std::filesystem::rename(folder_.path() + "/kept", folder_.path() + "/view");
  ASSERT_EQ(Open(), absl::OkStatus());
  EXPECT_THAT(ReadAll(1).value(), ElementsAre("kept 20", "kept 30", "kept 40", "kept 50", "last"));
}

}  // namespace
}  // namespace sluice
