#include "tests/fault/store_life.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/base/error.h"
#include "core/message/batch.h"
#include "core/storage/damage.h"
#include "core/storage/local/verify.h"
#include "fmt/format.h"
#include "tests/support/answer.h"

namespace sluice {
namespace {

constexpr size_t kTopics = 4;

std::string TextOf(uint64_t topic, Offset offset) {
  std::string text = fmt::format("topic {} message {} ", topic, offset.value());
  // From a few bytes to a few sectors.
  text.resize(text.size() + (topic * 7919 + offset.value() * 104'729) % 6000, '.');
  return text;
}

Ref<Batch> BatchOf(uint64_t topic, Offset first, uint32_t count) {
  BatchBuilder builder;
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < count; ++i) texts.push_back(TextOf(topic, first + i));
  for (const std::string& text : texts) {
    OutgoingMessage message;
    message.data = text;
    if (!builder.Add(message).ok()) std::abort();
  }
  return *builder.Build();
}

// The config of a topic or subscription: its name is field 1 (docs/format.md).
std::string ConfigOf(std::string_view kind, uint64_t id) {
  const std::string name = fmt::format("projects/life/{}/{}-{}", kind, kind, id);
  return std::string{'\x0a', static_cast<char>(name.size())} + name;
}

}  // namespace

StoreLife::StoreLife(std::string folder, FileSystem& files, Durability durability, uint32_t seed,
                     std::function<Mark()> mark)
    : folder_(std::move(folder)),
      files_(files),
      durability_(durability),
      mark_(std::move(mark)),
      random_(seed) {
  Open();
}

LocalOptions StoreLife::OptionsOf(const std::string& folder) const {
  LocalOptions options;
  options.data_dir = folder;
  options.durability = durability_;
  options.segment_bytes = 64 << 10;
  options.run_maintenance = false;
  options.maintenance.checkpoint_bytes = 200 << 10;
  options.maintenance.reclaim_interval = absl::ZeroDuration();
  options.maintenance.min_live_share = 0.4;
  return options;
}

void StoreLife::Open() {
  LocalOptions options = OptionsOf(folder_);
  options.files = &files_;
  auto opened = LocalBackend::Open(std::move(options), clock_, metrics_);
  if (!opened.ok()) {
    fmt::print(stderr, "the store cannot be opened: {}\n", opened.status().ToString());
    std::abort();
  }
  store_ = *std::move(opened);
}

void StoreLife::Close() { store_ = nullptr; }

void StoreLife::Do(Call* call, const std::function<void(StoreDone)>& fn) {
  Answer<absl::Status> answer;
  call->begun = mark_();
  fn(answer.callback());
  if (!answer.Wait().ok()) std::abort();
  call->done = mark_();
}

void StoreLife::Live(int steps) {
  for (int i = 0; i < steps; ++i) Step();
}

void StoreLife::Step() {
  const uint32_t dice = Random(100);
  const auto alive =
      static_cast<size_t>(std::count_if(topics_.begin(), topics_.end(), [](const auto& topic) {
        return topic.second.removed.begun == SIZE_MAX;
      }));
  if (alive < kTopics) return CreateTopic();
  if (dice < 2) return RemoveTopic();
  if (dice < 3) {
    Close();
    return Open();
  }
  if (dice < 20) return Acknowledge();
  if (dice < 27) return TrimAcknowledged();
  if (dice < 40) return store_->maintenance().RunOnce();
  AppendSome();
}

void StoreLife::CreateTopic() {
  Catalogue& catalogue = store_->catalogue();
  const uint64_t id = catalogue.NewId();
  Do(&topics_[id].created, [&](StoreDone done) {
    catalogue.PutTopic({TopicId(id), ConfigOf("topics", id)}, std::move(done));
  });
  const uint64_t subscription = catalogue.NewId();
  subscriptions_[subscription].topic = id;
  const CursorState start;
  Do(&subscriptions_[subscription].created, [&](StoreDone done) {
    catalogue.PutSubscription(
        {SubscriptionId(subscription), ConfigOf("subscriptions", subscription)}, &start,
        std::move(done));
  });
}

uint64_t StoreLife::RandomTopic() {
  for (;;) {
    auto it = std::next(topics_.begin(), Random(static_cast<uint32_t>(topics_.size())));
    if (it->second.removed.begun == SIZE_MAX) return it->first;
  }
}

void StoreLife::RemoveTopic() {
  const uint64_t id = RandomTopic();
  Do(&topics_[id].removed,
     [&](StoreDone done) { store_->catalogue().RemoveTopic(TopicId(id), std::move(done)); });
}

// A few batches at once, so that commits have several records.
void StoreLife::AppendSome() {
  std::vector<std::pair<Answer<absl::Status>, std::vector<std::shared_ptr<Call>>>> answers(
      1 + Random(4));
  for (auto& [answer, calls] : answers) {
    const uint64_t id = RandomTopic();
    TopicFacts& topic = topics_[id];
    const Offset first(topic.messages.size() + 1);
    const uint32_t count = 1 + Random(3);
    Ref<Batch> batch = BatchOf(id, first, count);
    if (Random(3) == 0) {
      const ProducerTag tag{"producer", 1, topic.produced.size()};
      batch->set_producer(tag);
      topic.produced.push_back({tag, {first, first + count}});
    }
    for (uint32_t i = 0; i < count; ++i) {
      calls.push_back(std::make_shared<Call>(Call{mark_(), SIZE_MAX}));
      topic.messages.push_back(calls.back());
    }
    store_->OpenLog(TopicId(id))->Append(std::move(batch), answer.callback());
  }
  for (auto& [answer, calls] : answers) {
    if (!answer.Wait().ok()) std::abort();
    for (const auto& call : calls) call->done = mark_();
  }
}

void StoreLife::Acknowledge() {
  auto it = std::next(subscriptions_.begin(), Random(static_cast<uint32_t>(subscriptions_.size())));
  const TopicFacts& topic = topics_[it->second.topic];
  if (topic.messages.empty()) return;
  auto cursor = store_->OpenCursor(SubscriptionId(it->first));
  const Offset begin = cursor->state().acked.floor() + (Random(4) == 0 ? Random(3) : 0);
  const Offset end = std::min(begin + 1 + Random(40), Offset(topic.messages.size() + 1));
  if (begin >= end) return;
  const OffsetRange range{begin, end};
  auto& acks = it->second.acks;
  acks.push_back({range, {}});
  Do(&acks.back().second, [&](StoreDone done) { cursor->Ack({range}, std::move(done)); });
}

void StoreLife::TrimAcknowledged() {
  for (const auto& [id, subscription] : subscriptions_) {
    TopicFacts& topic = topics_[subscription.topic];
    if (topic.removed.begun != SIZE_MAX) continue;
    const Offset floor = store_->OpenCursor(SubscriptionId(id))->state().acked.floor();
    topic.trims.push_back({mark_(), floor});
    store_->OpenLog(TopicId(subscription.topic))->Trim(floor);
  }
}

std::string StoreLife::Judge(const std::string& folder, Mark cut, Promise promise) {
  {
    auto opened = LocalBackend::Open(OptionsOf(folder), clock_, metrics_);
    if (!opened.ok()) return "it does not open: " + opened.status().ToString();
    for (const auto& [id, facts] : topics_) {
      if (auto problem = JudgeTopic(**opened, id, facts, cut, promise); !problem.empty())
        return problem;
    }
    for (const auto& [id, facts] : subscriptions_) {
      if (auto problem = JudgeSubscription(**opened, id, facts, cut, promise); !problem.empty())
        return problem;
    }
    if (promise == Promise::kNothingWrong) return "";
    if ((*opened)->stats().damaged_stretches > 0) return "it counts damaged places";
    if (auto problem = JudgeGoingOn(**opened); !problem.empty()) return problem;
  }
  const auto verified = Verify(folder, nullptr);
  if (!verified.ok()) return "it cannot be verified: " + verified.status().ToString();
  return verified->damages.empty() ? "" : "verify finds damage: " + verified->damages.front();
}

std::string StoreLife::JudgeTopic(LocalBackend& store, uint64_t id, const TopicFacts& facts,
                                  Mark cut, Promise promise) const {
  auto log = store.OpenLog(TopicId(id));
  if (log == nullptr) {
    const bool must_be = facts.created.done <= cut && facts.removed.begun > cut;
    return must_be && promise == Promise::kAcknowledged ? fmt::format("topic {} is gone", id) : "";
  }
  if (facts.created.begun > cut) return fmt::format("topic {} is there before it was created", id);
  if (facts.removed.done <= cut && promise == Promise::kAcknowledged)
    return fmt::format("topic {} came back", id);
  return JudgeMessages(*log, id, facts, cut, promise);
}

std::string StoreLife::JudgeMessages(TopicLog& log, uint64_t id, const TopicFacts& facts, Mark cut,
                                     Promise promise) const {
  Offset trimmed(1);
  for (const auto& [when, floor] : facts.trims) {
    if (when <= cut) trimmed = std::max(trimmed, floor);
  }
  const LogExtent extent = log.extent();
  if (extent.first > trimmed)
    return fmt::format("topic {} begins at {}, but was trimmed to {}", id, extent.first.value(),
                       trimmed.value());
  Offset at = extent.first;
  for (;;) {
    Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
    log.Read(at, size_t{1} << 20, answer.callback());
    const auto batches = answer.Wait();
    if (!batches.ok()) {
      const bool may_be =
          promise == Promise::kNothingWrong && ReasonOf(batches.status()) == Reason::kDataLoss;
      if (!may_be)
        return fmt::format("topic {} cannot be read at {}: {}", id, at.value(),
                           batches.status().ToString());
      // Without an extent it is the topic's settings that are lost.
      const auto lost = DamagedMessages(batches.status());
      if (lost && (at < lost->begin || at >= lost->end)) {
        return fmt::format("topic {} cannot be read at {}, and the error is of others: {}", id,
                           at.value(), batches.status().ToString());
      }
      at = lost ? lost->end : at + 1;
      if (at >= extent.next) return "";
      continue;
    }
    if (batches->empty()) break;
    for (const auto& batch : *batches) {
      // The first one may reach back across the floor; damage lets `at` stand within one.
      if (batch->first() > at)
        return fmt::format("topic {}: messages {} to {} are missing", id, at.value(),
                           batch->first().value());
      for (uint32_t i = 0; i < batch->count(); ++i) {
        if (MessageView(batch->message(i)).data() != TextOf(id, batch->first() + i)) {
          return fmt::format("topic {}: message {} is another one", id, batch->first().value() + i);
        }
      }
      at = batch->end();
    }
  }
  if (at < extent.next)
    return fmt::format("topic {} ends at {}, before {}", id, at.value(), extent.next.value());
  if (promise != Promise::kAcknowledged) return "";
  for (Offset offset = at; offset <= Offset(facts.messages.size()); ++offset) {
    if (facts.messages[offset - Offset(1)]->done <= cut)
      return fmt::format("topic {}: message {} is lost", id, offset.value());
  }
  for (const auto& [tag, range] : facts.produced) {
    if (facts.messages[range.begin - Offset(1)]->done > cut) continue;
    auto found = log.FindProduced(tag);
    if (!found.ok() || *found != range)
      return fmt::format("topic {}: batch {} of its producer is forgotten", id, tag.sequence);
  }
  return "";
}

std::string StoreLife::JudgeSubscription(LocalBackend& store, uint64_t id,
                                         const SubscriptionFacts& facts, Mark cut,
                                         Promise promise) const {
  auto cursor = store.OpenCursor(SubscriptionId(id));
  if (cursor == nullptr) {
    const bool must_be = facts.created.done <= cut && promise == Promise::kAcknowledged;
    return must_be ? fmt::format("subscription {} is gone", id) : "";
  }
  const AckSet acked = cursor->state().acked;
  AckSet asked_for;
  for (const auto& [range, call] : facts.acks) {
    if (call.begun > cut) continue;
    asked_for.Add(range);
    if (promise != Promise::kAcknowledged || call.done > cut) continue;
    for (Offset offset = range.begin; offset < range.end; ++offset) {
      if (!acked.Contains(offset))
        return fmt::format("subscription {}: the acknowledgement of {} is lost", id,
                           offset.value());
    }
  }
  AckSet both = asked_for;
  both.Add({Offset(1), acked.floor()});
  acked.ForEachRange([&](OffsetRange range) { both.Add(range); });
  if (both != asked_for)
    return fmt::format("subscription {} has acknowledged what nobody asked for", id);
  auto log = store.OpenLog(TopicId(facts.topic));
  if (log != nullptr && promise != Promise::kNothingWrong && acked.floor() > log->extent().next) {
    return fmt::format("subscription {} has acknowledged what topic {} does not have", id,
                       facts.topic);
  }
  return "";
}

// Every topic takes a message and gives it back.
std::string StoreLife::JudgeGoingOn(LocalBackend& store) const {
  for (const auto& [id, facts] : topics_) {
    auto log = store.OpenLog(TopicId(id));
    if (log == nullptr) continue;
    const Offset next = log->extent().next;
    Answer<absl::Status> appended;
    log->Append(BatchOf(id, next, 1), appended.callback());
    if (absl::Status status = appended.Wait(); !status.ok())
      return "it takes no messages: " + status.ToString();
    Answer<absl::StatusOr<std::vector<Ref<Batch>>>> answer;
    log->Read(next, size_t{1} << 20, answer.callback());
    const auto read = answer.Wait();
    if (!read.ok() || read->size() != 1 || (*read)[0]->first() != next)
      return fmt::format("topic {} does not go on", id);
  }
  return "";
}

}  // namespace sluice
