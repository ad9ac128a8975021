// A local store that lives through everything at random (appends of several topics,
// acknowledgements, trims, checkpoints, deleted and relocated segments, topics and subscriptions
// that come and go, restarts), and what its callers know of it: what was begun and what was
// answered when. Afterwards any copy of the folder can be judged by that.
//
//   StoreLife life(folder, PosixFileSystem(), Durability::kFsync, seed, [&disk] { return disk.Mark(); });
//   life.Live(400);
//   std::string problem = life.Judge(copy, cut, StoreLife::Promise::kAcknowledged);      // empty when all is well
//
// Thread rule: one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/storage/local/local_backend.h"

namespace sluice {

class StoreLife {
 public:
  enum class Promise {
    // What was acknowledged is there: fsync.
    kAcknowledged,
    // What is there is the store as it was at some time: os.
    kSomeTime,
    // What cannot be read is said to be damaged, what can is right: a damaged file.
    kNothingWrong,
  };
  // A point in time.
  using Mark = size_t;

  StoreLife(std::string folder, FileSystem& files, Durability durability, uint32_t seed,
            std::function<Mark()> mark);

  void Live(int steps);
  void Close();

  // What is wrong with a store in `folder` as it may be when everything ended at `cut`.
  std::string Judge(const std::string& folder, Mark cut, Promise promise);

 private:
  struct Call {
    Mark begun = SIZE_MAX;
    Mark done = SIZE_MAX;
  };
  struct TopicFacts {
    Call created;
    Call removed;
    // Of the message with offset i + 1.
    std::vector<std::shared_ptr<Call>> messages;
    std::vector<std::pair<ProducerTag, OffsetRange>> produced;
    std::vector<std::pair<Mark, Offset>> trims;
  };
  struct SubscriptionFacts {
    uint64_t topic = 0;
    Call created;
    std::vector<std::pair<OffsetRange, Call>> acks;
  };

  LocalOptions OptionsOf(const std::string& folder) const;
  void Open();
  void Step();
  void CreateTopic();
  void RemoveTopic();
  void AppendSome();
  void Acknowledge();
  void TrimAcknowledged();
  // Makes a call that answers with a status, and waits for the answer.
  void Do(Call* call, const std::function<void(StoreDone)>& fn);
  uint64_t RandomTopic();
  uint32_t Random(uint32_t below) { return random_() % below; }

  std::string JudgeTopic(LocalBackend& store, uint64_t id, const TopicFacts& facts, Mark cut,
                         Promise promise) const;
  std::string JudgeMessages(TopicLog& log, uint64_t id, const TopicFacts& facts, Mark cut,
                            Promise promise) const;
  std::string JudgeSubscription(LocalBackend& store, uint64_t id, const SubscriptionFacts& facts,
                                Mark cut, Promise promise) const;
  std::string JudgeGoingOn(LocalBackend& store) const;

  const std::string folder_;
  FileSystem& files_;
  const Durability durability_;
  const std::function<Mark()> mark_;
  std::mt19937 random_;
  SystemClock clock_;
  StoreMetrics metrics_;
  std::unique_ptr<LocalBackend> store_;
  std::map<uint64_t, TopicFacts> topics_;
  std::map<uint64_t, SubscriptionFacts> subscriptions_;
};

}  // namespace sluice
