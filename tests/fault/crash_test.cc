// Kills sluiced with SIGKILL at random moments under load, starts it again on the same folder, and
// proves at the end: nothing acknowledged to a publisher is lost, nothing is stored twice, nothing
// is delivered that was not published, the first deliveries of a publisher's messages come in its
// order, and the attempts of a message never go back.
//
//   build/release/bin/crash_test --server=build/release/bin/sluiced --kills=30 --durability=fsync
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <random>
#include <span>
#include <thread>

#include "CLI/CLI.hpp"
#include "client/cpp/admin.h"
#include "client/cpp/publisher.h"
#include "client/cpp/subscriber.h"
#include "core/base/mutex.h"
#include "core/storage/ack_set.h"
#include "fmt/format.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

namespace sluice {
namespace {

struct Flags {
  std::string server = "build/release/bin/sluiced";
  std::string store = "local";
  std::string durability = "fsync";
  int kills = 30;
  uint32_t seed = 0;
  size_t topics = 3;
};

[[noreturn]] void Die(const std::string& what) {
  fmt::print(stderr, "crash_test: {}\n", what);
  std::exit(2);
}

// One topic, its publisher and its subscriber, and what both know.
class Lane {
 public:
  Lane(std::shared_ptr<client::Connection> connection, size_t number)
      : connection_(std::move(connection)),
        topic_(fmt::format("projects/crash/topics/topic-{}", number)),
        subscription_(fmt::format("projects/crash/subscriptions/sub-{}", number)) {}

  void Start() {
    client::Admin admin(connection_);
    v1::Topic topic;
    topic.set_name(topic_);
    if (auto made = admin.CreateTopic(topic); !made.ok()) Die(made.status().ToString());
    v1::Subscription subscription;
    subscription.set_name(subscription_);
    subscription.set_topic(topic_);
    if (auto made = admin.CreateSubscription(subscription); !made.ok())
      Die(made.status().ToString());
    client::PublisherOptions options;
    options.batch_messages = 20;
    options.max_messages = 500;
    options.producer_id = topic_;
    publisher_ = std::make_unique<client::Publisher>(connection_, topic_, options);
    client::SubscriberOptions receive;
    receive.concurrency = 1;
    receive.finished = [this](const absl::Status& status) {
      Problem("the subscriber ended: " + status.ToString());
    };
    subscriber_ = std::make_unique<client::Subscriber>(
        connection_, client::SubscriberTarget{.subscription = subscription_}, receive);
    subscriber_->StartBatches(
        [this](std::span<const client::ReceivedMessage> messages) { return Receive(messages); });
    thread_ = std::thread([this] { Publish(); });
  }

  void StopPublishing() {
    stop_ = true;
    thread_.join();
    if (absl::Status status = publisher_->Close(absl::Seconds(60)); !status.ok())
      Problem(status.ToString());
  }
  void Finish() { subscriber_->Stop(absl::Seconds(10)).IgnoreError(); }

  uint64_t missing() const {
    MutexLock lock(mu_);
    uint64_t missing = 0;
    for (const auto& [begin, end] : AsRanges(accepted_)) {
      for (Offset at = begin; at < end; ++at) missing += delivered_.Contains(at) ? 0 : 1;
    }
    return missing;
  }
  uint64_t accepted() const {
    MutexLock lock(mu_);
    return accepted_count_;
  }
  uint64_t duplicates() const {
    MutexLock lock(mu_);
    return duplicates_;
  }
  std::vector<std::string> problems() const {
    MutexLock lock(mu_);
    return problems_;
  }

 private:
  void Publish() {
    for (uint64_t sequence = 0; !stop_; ++sequence) {
      {
        MutexLock lock(mu_);
        published_ = sequence + 1;
      }
      publisher_->Publish(
          {.data = std::to_string(sequence)}, [this, sequence](const absl::StatusOr<uint64_t>& id) {
            MutexLock lock(mu_);
            if (id.ok()) {
              accepted_count_ += accepted_.Add({Offset(sequence), Offset(sequence + 1)});
            } else {
              problems_.push_back("a message was refused: " + id.status().ToString());
            }
          });
    }
  }

  client::Verdict Receive(std::span<const client::ReceivedMessage> messages) {
    MutexLock lock(mu_);
    for (const client::ReceivedMessage& message : messages) {
      const uint64_t sequence = std::stoull(std::string(message.data));
      if (sequence >= published_)
        problems_.push_back(fmt::format("{} was never published", sequence));
      if (ids_.size() <= sequence) ids_.resize(sequence + 1);
      uint64_t& id = ids_[sequence];
      if (id != 0 && id != message.id)
        problems_.push_back(
            fmt::format("{} is stored twice, as {} and {}", sequence, id, message.id));
      id = message.id;
      if (sequence > next_new_)
        problems_.push_back(fmt::format("{} came before {}", sequence, next_new_));
      if (sequence == next_new_) ++next_new_;
      if (delivered_.Add({Offset(sequence), Offset(sequence + 1)}) == 0) ++duplicates_;
      uint32_t& attempt = attempts_[message.id];
      if (message.attempt < attempt) {
        problems_.push_back(fmt::format("id {}: attempt {} after attempt {}", message.id,
                                        message.attempt, attempt));
      }
      attempt = message.attempt;
    }
    return client::Verdict::Ack();
  }

  void Problem(std::string what) {
    MutexLock lock(mu_);
    problems_.push_back(std::move(what));
  }

  static std::vector<std::pair<Offset, Offset>> AsRanges(const AckSet& set) {
    std::vector<std::pair<Offset, Offset>> ranges = {{Offset(0), set.floor()}};
    set.ForEachRange([&](OffsetRange range) { ranges.emplace_back(range.begin, range.end); });
    return ranges;
  }

  const std::shared_ptr<client::Connection> connection_;
  const std::string topic_;
  const std::string subscription_;
  std::unique_ptr<client::Publisher> publisher_;
  std::unique_ptr<client::Subscriber> subscriber_;
  std::thread thread_;
  std::atomic<bool> stop_{false};

  mutable Mutex mu_;
  uint64_t published_ GUARDED_BY(mu_) = 0;
  uint64_t accepted_count_ GUARDED_BY(mu_) = 0;
  AckSet accepted_ GUARDED_BY(mu_){Offset(0)};
  AckSet delivered_ GUARDED_BY(mu_){Offset(0)};
  uint64_t next_new_ GUARDED_BY(mu_) = 0;
  uint64_t duplicates_ GUARDED_BY(mu_) = 0;
  std::map<uint64_t, uint32_t> attempts_ GUARDED_BY(mu_);
  // The message id of each sequence, 0 before it came.
  std::vector<uint64_t> ids_ GUARDED_BY(mu_);
  std::vector<std::string> problems_ GUARDED_BY(mu_);
};

int Run(const Flags& flags) {
  const uint32_t seed = flags.seed != 0 ? flags.seed : std::random_device()();
  fmt::print("seed {}\n", seed);
  std::mt19937 random(seed);
  TempFolder folder;
  ServerProcess server(flags.server,
                       {"--store=" + flags.store, "--data-dir=" + folder.path() + "/store",
                        "--durability=" + flags.durability});
  server.Start();
  std::vector<std::unique_ptr<Lane>> lanes;
  for (size_t i = 0; i < flags.topics; ++i) {
    auto connection = client::Connection::Open({.server = server.address()});
    lanes.push_back(std::make_unique<Lane>(std::move(connection), i));
    lanes.back()->Start();
  }
  for (int kill = 0; kill < flags.kills; ++kill) {
    absl::SleepFor(absl::Milliseconds(std::uniform_int_distribution<int>(50, 400)(random)));
    server.Kill();
    server.Start();
  }
  for (auto& lane : lanes) lane->StopPublishing();
  const auto missing = [&] {
    uint64_t sum = 0;
    for (const auto& lane : lanes) sum += lane->missing();
    return sum;
  };
  // Leases of streams that were cut off end with their deadline at the latest.
  const absl::Time end = absl::Now() + absl::Seconds(flags.store == "memory" ? 3 : 60);
  while (missing() > 0 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(50));
  uint64_t accepted = 0;
  uint64_t duplicates = 0;
  size_t problems = 0;
  const uint64_t lost = missing();
  for (auto& lane : lanes) {
    lane->Finish();
    accepted += lane->accepted();
    duplicates += lane->duplicates();
    for (const std::string& problem : lane->problems()) {
      if (++problems <= 10) fmt::print("problem: {}\n", problem);
    }
  }
  fmt::print("acknowledged {}, lost {}, duplicates {}, problems {}, kills {}\n", accepted, lost,
             duplicates, problems, flags.kills);
  return lost == 0 && problems == 0 && accepted > 0 ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  sluice::Flags flags;
  CLI::App app("Kills the server under load and counts what is lost.");
  app.add_option("--server", flags.server, "The sluiced to run")
      ->check(CLI::ExistingFile)
      ->capture_default_str();
  app.add_option("--store", flags.store)->capture_default_str();
  app.add_option("--durability", flags.durability)->capture_default_str();
  app.add_option("--kills", flags.kills)->capture_default_str();
  app.add_option("--seed", flags.seed, "0 for a new one")->capture_default_str();
  app.add_option("--topics", flags.topics)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  ::signal(SIGPIPE, SIG_IGN);
  return sluice::Run(flags);
}
