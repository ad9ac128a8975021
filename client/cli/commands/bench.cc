// sluice bench: a load of publishers and subscribers on a topic of its own, counted to the message.
#include <atomic>
#include <cstring>
#include <span>
#include <thread>

#include "client/cli/bench/tracker.h"
#include "client/cli/commands/commands.h"
#include "client/cpp/publisher.h"
#include "client/cpp/subscriber.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

struct BenchFlags {
  std::string api = "native";
  std::string duration = "5s";
  size_t batch = 100;
  size_t size = 100;
  size_t publishers = 1;
  size_t subscribers = 1;
  size_t inflight = 16;
  // Messages per second of all publishers together; 0 for as fast as it goes.
  double rate = 0;
  // Of all publishers together; 0 for as many as the duration allows.
  uint64_t messages = 0;
  // Ordering keys; 0 for none.
  uint64_t keys = 0;
  bool ordered = false;
  // Of the topic and the subscription; made up when empty.
  std::string name;
  bool publish_only = false;
  bool receive_only = false;
  bool keep = false;
};

// The front of every payload.
struct Stamp {
  uint32_t publisher = 0;
  uint32_t reserved = 0;
  uint64_t sequence = 0;
  // When it was meant to be sent, in nanoseconds of the steady clock.
  int64_t intended = 0;
};

const SystemClock bench_clock;

int64_t NowNanos() { return bench_clock.Now().nanos(); }

class Bench {
 public:
  Bench(const Session& session, const BenchFlags& flags)
      : session_(session),
        flags_(flags),
        duration_(flags.messages > 0 ? absl::InfiniteDuration() : ParseDurationOrThrow("--duration", flags.duration)),
        // Whole batches from each publisher.
        messages_each_(flags.messages > 0 ? flags.messages / flags.publishers / flags.batch * flags.batch : UINT64_MAX),
        name_(flags.name.empty() ? fmt::format("bench-{:x}", absl::ToUnixNanos(absl::Now())) : flags.name) {}

  int Run();

 private:
  absl::Status SetUp();
  void CleanUp();
  void PublishAll();
  void PublishLoop(size_t number);
  std::vector<std::unique_ptr<client::Subscriber>> StartSubscribers();
  client::Verdict Receive(std::span<const client::ReceivedMessage> messages);
  void WaitForDeliveries();
  int Summarize();

  const Session& session_;
  const BenchFlags& flags_;
  const absl::Duration duration_;
  const uint64_t messages_each_;
  const std::string name_;

  std::atomic<uint64_t> accepted_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> delivered_{0};
  std::atomic<bool> stop_{false};
  int64_t started_ = 0;
  int64_t published_until_ = 0;
  int64_t delivered_until_ = 0;
  LatencyHistogram publish_latency_;
  LatencyHistogram delivery_latency_;

  Mutex mu_;
  absl::Status error_ GUARDED_BY(mu_);
  Tracker tracker_;
};

absl::Status Bench::SetUp() {
  if (flags_.receive_only) return absl::OkStatus();
  client::Admin admin = session_.OpenAdmin();
  v1::Topic topic;
  topic.set_name(session_.TopicName(name_));
  if (auto made = admin.CreateTopic(topic); !made.ok()) return made.status();
  v1::Subscription subscription;
  subscription.set_name(session_.SubscriptionName(name_));
  subscription.set_topic(topic.name());
  subscription.set_enable_message_ordering(flags_.ordered);
  return admin.CreateSubscription(subscription).status();
}

void Bench::CleanUp() {
  if (flags_.keep) return;
  client::Admin admin = session_.OpenAdmin();
  admin.DeleteSubscription(session_.SubscriptionName(name_)).IgnoreError();
  admin.DeleteTopic(session_.TopicName(name_)).IgnoreError();
}

void Bench::PublishLoop(size_t number) {
  client::PublisherOptions options;
  options.batch_messages = flags_.batch;
  options.max_messages = flags_.batch * flags_.inflight;
  options.max_bytes = SIZE_MAX;
  client::Publisher publisher(session_.Connect(), session_.TopicName(name_), options);
  std::vector<client::Message> messages(flags_.batch);
  for (client::Message& message : messages) message.data.assign(std::max(flags_.size, sizeof(Stamp)), 'x');
  const double per_publisher = flags_.rate / static_cast<double>(flags_.publishers);
  const auto interval = flags_.rate > 0 ? static_cast<int64_t>(1e9 * static_cast<double>(flags_.batch) / per_publisher) : 0;
  const Instant end = Instant(started_) + duration_;
  int64_t intended = NowNanos();
  for (uint64_t sequence = 0; sequence < messages_each_ && Instant(intended) < end && !stop_;
       intended = interval > 0 ? intended + interval : NowNanos()) {
    if (interval > 0) {
      if (const int64_t early = intended - NowNanos(); early > 0) absl::SleepFor(absl::Nanoseconds(early));
    }
    for (client::Message& message : messages) {
      if (flags_.keys > 0) message.ordering_key = fmt::format("key-{}-{}", number, sequence % flags_.keys);
      const Stamp stamp{static_cast<uint32_t>(number), 0, sequence++, intended};
      std::memcpy(message.data.data(), &stamp, sizeof stamp);
    }
    publisher.PublishBatch(messages, [this, number, first = sequence - messages.size(), count = messages.size(),
                                      intended](const absl::StatusOr<uint64_t>& id) {
      if (id.ok()) {
        accepted_ += count;
        publish_latency_.Add(NowNanos() - intended);
        tracker_.Accepted(number, first, count);
        return;
      }
      refused_ += count;
      MutexLock lock(mu_);
      if (error_.ok()) error_ = id.status();
      stop_ = true;
    });
  }
  publisher.Close(absl::Seconds(30)).IgnoreError();
}

client::Verdict Bench::Receive(std::span<const client::ReceivedMessage> messages) {
  const int64_t now = NowNanos();
  tracker_.Delivered([&](auto&& note) {
    for (const client::ReceivedMessage& message : messages) {
      Stamp stamp;
      if (message.data.size() < sizeof stamp) continue;
      std::memcpy(&stamp, message.data.data(), sizeof stamp);
      note(stamp.publisher, stamp.sequence);
      delivery_latency_.Add(now - stamp.intended);
    }
  });
  delivered_ += messages.size();
  return client::Verdict::Ack();
}

// Until everything came, or nothing has come for a while.
void Bench::WaitForDeliveries() {
  constexpr absl::Duration kPatience = absl::Seconds(15);
  absl::Time last_change = absl::Now();
  uint64_t seen = 0;
  Progress progress("drain");
  const auto backlog = static_cast<double>(std::max<uint64_t>(tracker_.missing(), 1));
  while (tracker_.missing() > 0 && absl::Now() - last_change < kPatience) {
    if (const uint64_t now = delivered_; now != seen) {
      seen = now;
      last_change = absl::Now();
      progress.Show(1 - std::min(static_cast<double>(tracker_.missing()) / backlog, 1.0), fmt::format("{} delivered", now));
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  delivered_until_ = NowNanos();
}

std::vector<std::unique_ptr<client::Subscriber>> Bench::StartSubscribers() {
  std::vector<std::unique_ptr<client::Subscriber>> subscribers;
  for (size_t i = 0; i < flags_.subscribers; ++i) {
    client::SubscriberOptions options;
    options.concurrency = 1;
    options.max_outstanding_messages = static_cast<int64_t>(std::max<size_t>(10'000, 4 * flags_.batch * flags_.inflight));
    options.finished = [this](const absl::Status& status) {
      MutexLock lock(mu_);
      if (error_.ok()) error_ = status;
      stop_ = true;
    };
    subscribers.push_back(std::make_unique<client::Subscriber>(
        session_.Connect(), client::SubscriberTarget{.subscription = session_.SubscriptionName(name_)}, options));
    subscribers.back()->StartBatches([this](std::span<const client::ReceivedMessage> messages) { return Receive(messages); });
  }
  return subscribers;
}

void Bench::PublishAll() {
  std::atomic<size_t> running{flags_.publishers};
  std::vector<std::thread> publishers;
  for (size_t i = 0; i < flags_.publishers; ++i) {
    publishers.emplace_back([this, &running, i] {
      PublishLoop(i);
      --running;
    });
  }
  Progress progress("bench");
  while (running > 0) {
    const double done = flags_.messages > 0
                            ? static_cast<double>(accepted_) / static_cast<double>(flags_.messages)
                            : absl::FDivDuration(absl::Nanoseconds(NowNanos() - started_), duration_);
    progress.Show(std::min(done, 1.0), fmt::format("{} published, {} delivered", accepted_.load(), delivered_.load()));
    absl::SleepFor(absl::Milliseconds(10));
  }
  for (std::thread& publisher : publishers) publisher.join();
  published_until_ = NowNanos();
}

int Bench::Run() {
  if (absl::Status status = SetUp(); !status.ok()) return Report(session_, status);
  tracker_.SetPublishers(flags_.publishers, flags_.ordered ? flags_.keys : 0);
  started_ = published_until_ = NowNanos();
  {
    const auto subscribers =
        flags_.publish_only ? std::vector<std::unique_ptr<client::Subscriber>>() : StartSubscribers();
    if (flags_.receive_only) {
      for (size_t i = 0; i < flags_.publishers; ++i) tracker_.Accepted(i, 0, messages_each_);
    } else {
      PublishAll();
    }
    if (!flags_.publish_only) WaitForDeliveries();
    for (auto& subscriber : subscribers) subscriber->Stop(absl::Seconds(10)).IgnoreError();
  }
  CleanUp();
  return Summarize();
}

nlohmann::ordered_json ToJson(const LatencyHistogram& latency) {
  return {{"p50", latency.Quantile(0.5) / 1e3}, {"p99", latency.Quantile(0.99) / 1e3},
          {"p99.9", latency.Quantile(0.999) / 1e3}, {"max", latency.Quantile(1) / 1e3}};
}

void Print(std::string_view what, const LatencyHistogram& latency) {
  fmt::print("{}  us p50 {:.0f}  p99 {:.0f}  p99.9 {:.0f}\n", what, latency.Quantile(0.5) / 1e3,
             latency.Quantile(0.99) / 1e3, latency.Quantile(0.999) / 1e3);
}

int Bench::Summarize() {
  const uint64_t published = accepted_;
  const uint64_t lost = flags_.publish_only ? 0 : tracker_.missing();
  const auto rate = [&](uint64_t count, int64_t until) {
    return static_cast<double>(count) / (static_cast<double>(until - started_) / 1e9);
  };
  MutexLock lock(mu_);
  nlohmann::ordered_json out = {
      {"published", published}, {"refused", refused_.load()}, {"delivered", delivered_.load()}, {"lost", lost},
      {"duplicates", tracker_.duplicates()}, {"unknown", tracker_.unknown()}};
  if (flags_.ordered) out["out_of_order"] = tracker_.out_of_order();
  if (!flags_.receive_only) {
    out["published_per_second"] = rate(published, published_until_);
    out["publish_latency_us"] = ToJson(publish_latency_);
  }
  if (!flags_.publish_only) {
    out["delivered_per_second"] = rate(delivered_, delivered_until_);
    out["end_to_end_latency_us"] = ToJson(delivery_latency_);
  }
  if (session_.json) {
    fmt::print("{}\n", out.dump());
  } else {
    if (!flags_.receive_only) {
      fmt::print("published {}  {:.0f}/s  refused {}\n", published, rate(published, published_until_), refused_.load());
      Print("publish latency   ", publish_latency_);
    }
    if (!flags_.publish_only) {
      fmt::print("delivered {}  {:.0f}/s  lost {}  duplicates {}  unknown {}\n", delivered_.load(),
                 rate(delivered_, delivered_until_), lost, tracker_.duplicates(), tracker_.unknown());
      if (flags_.ordered) fmt::print("out of order {}\n", tracker_.out_of_order());
      Print("end-to-end latency", delivery_latency_);
    }
  }
  if (!error_.ok()) return Report(session_, error_);
  return lost + tracker_.unknown() + tracker_.out_of_order() == 0 ? kOk : kFailed;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Run* run) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* bench = app.add_subcommand("bench", "Put a load on the server and count every message");
  bench->add_option("--api", flags->api, "native")->check(CLI::IsMember({"native"}))->capture_default_str();
  bench->add_option("--duration", flags->duration, "How long to publish")->capture_default_str();
  bench->add_option("--batch", flags->batch, "Messages per request")->check(CLI::Range(1, 1000))->capture_default_str();
  bench->add_option("--messages", flags->messages, "Publish this many, in whole batches, instead of for a time");
  bench->add_option("--size", flags->size, "Bytes of payload, at least 24")->capture_default_str();
  bench->add_option("--publishers", flags->publishers, "Publishers, each with a connection of its own")
      ->check(CLI::Range(1, 1000))->capture_default_str();
  bench->add_option("--subscribers", flags->subscribers, "Consumers that share the subscription")->capture_default_str();
  bench->add_option("--inflight", flags->inflight, "Requests a publisher keeps in flight")->capture_default_str();
  bench->add_option("--rate", flags->rate, "Messages per second of all publishers together; 0 for as fast as it goes")
      ->capture_default_str();
  CLI::Option* keys = bench->add_option("--keys", flags->keys, "Ordering keys that each publisher goes through in turn; 0 for none")
      ->capture_default_str();
  bench->add_flag("--ordered", flags->ordered, "Let the subscription keep the order of each key, and count what breaks it")
      ->needs(keys);
  CLI::Option* name = bench->add_option("--name", flags->name, "Of the topic and the subscription; made up when not given");
  CLI::Option* publish_only = bench->add_flag("--publish-only", flags->publish_only, "Let the subscription fill; no deliveries");
  bench->add_flag("--receive-only", flags->receive_only, "Receive what --publish-only --keep with the same --messages left")
      ->needs(name)->needs("--messages")->excludes(publish_only);
  bench->add_flag("--keep", flags->keep, "Leave topic and subscription behind");
  bench->footer("Example:\n  sluice bench --duration=10s --batch=100 --size=100 --inflight=16\n\n"
                "Latencies count from the moment a message was meant to be sent. Exit code 1 when anything is lost or out of order.");
  bench->callback([=] {
    *run = [=](const Session& session) { return Bench(session, *flags).Run(); };
  });
}

}  // namespace sluice::cli
