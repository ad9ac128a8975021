// sluice bench: a load of publishers and subscribers on a topic of its own, counted to the message.
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "client/cli/bench/idle_streams.h"
#include "client/cli/bench/load.h"
#include "client/cli/bench/tally.h"
#include "client/cli/bench/tenths.h"
#include "client/cli/commands/commands.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

struct BenchFlags {
  std::string api = "native";
  std::string duration = "5s";
  size_t batch = 100;
  size_t size = 100;
  size_t publishers = 1;
  size_t subscriptions = 1;
  size_t subscribers = 1;
  size_t inflight = 16;
  // Messages per second of all publishers together; 0 for as fast as it goes.
  double rate = 0;
  // Of all publishers together; 0 for as many as the duration allows.
  uint64_t messages = 0;
  // Ordering keys; 0 for none.
  uint64_t keys = 0;
  bool ordered = false;
  bool exactly_once = false;
  // Of the topic and the subscription; made up when empty.
  std::string name;
  // An existing topic instead of one of its own.
  std::string topic;
  size_t topics = 1;
  bool publish_only = false;
  bool receive_only = false;
  bool keep = false;
  // Open this many streams instead of putting a load on the server.
  size_t idle_streams = 0;
};

// Large responses are freed as fast as they come. Given back to the kernel, their memory would cost
// a page fault for every 4 KiB of the next ones, which the load would take from the server's share
// of the cores.
void KeepFreedMemory() {
  constexpr int kMebibyte = 1 << 20;
  mallopt(M_TRIM_THRESHOLD, 16 * kMebibyte);
  mallopt(M_MMAP_THRESHOLD, 8 * kMebibyte);
}

class Bench {
 public:
  Bench(const Session& session, const BenchFlags& flags)
      : session_(session),
        flags_(flags),
        duration_(flags.messages > 0 ? absl::InfiniteDuration()
                                     : ParseDurationOrThrow("--duration", flags.duration)),
        // Whole batches from each publisher.
        messages_each_(flags.messages > 0
                           ? flags.messages / flags.publishers / flags.batch * flags.batch
                           : UINT64_MAX),
        options_(OptionsFrom(session, flags)),
        load_(flags.api == "google" ? GoogleLoad(session, options_, &tally_)
                                    : NativeLoad(session, options_, &tally_)),
        tenths_(flags.messages) {}

  int Run();

 private:
  static LoadOptions OptionsFrom(const Session& session, const BenchFlags& flags);
  void PublishAll();
  void PublishLoop(size_t number);
  void WaitForDeliveries();
  int Summarize();
  nlohmann::ordered_json SummaryAsJson();
  void PrintSummary();
  // Since the start, until then.
  double Rate(uint64_t count, int64_t until) const {
    return static_cast<double>(count) / (static_cast<double>(until - started_) / 1e9);
  }
  uint64_t lost() { return flags_.publish_only ? 0 : tally_.tracker().missing(); }

  const Session& session_;
  const BenchFlags& flags_;
  const absl::Duration duration_;
  const uint64_t messages_each_;
  const LoadOptions options_;
  Tally tally_;
  const std::unique_ptr<Load> load_;

  Tenths tenths_;
  // Making topics and subscriptions took this long, in nanoseconds.
  int64_t set_up_nanos_ = 0;
  int64_t started_ = 0;
  int64_t published_until_ = 0;
  int64_t delivered_until_ = 0;
};

LoadOptions Bench::OptionsFrom(const Session& session, const BenchFlags& flags) {
  const std::string name =
      flags.name.empty() ? fmt::format("bench-{:x}", absl::ToUnixNanos(absl::Now())) : flags.name;
  return {.topic = session.TopicName(flags.topic.empty() ? name : flags.topic),
          .subscription = session.SubscriptionName(name),
          .topics = flags.topics,
          .subscriptions = flags.subscriptions,
          .own_topic = flags.topic.empty(),
          .batch = flags.batch,
          .size = std::max(flags.size, sizeof(Stamp)),
          .inflight = flags.inflight,
          .keys = flags.keys,
          .ordered = flags.ordered,
          .exactly_once = flags.exactly_once,
          .paced = flags.rate > 0};
}

void Bench::PublishLoop(size_t number) {
  const std::unique_ptr<LoadPublisher> publisher = load_->Publish(number);
  const double per_publisher = flags_.rate / static_cast<double>(flags_.publishers);
  const auto interval =
      flags_.rate > 0
          ? static_cast<int64_t>(1e9 * static_cast<double>(flags_.batch) / per_publisher)
          : 0;
  const Instant end = Instant(started_) + duration_;
  int64_t intended = NowNanos();
  for (uint64_t sequence = 0;
       sequence < messages_each_ && Instant(intended) < end && !tally_.stopped();
       sequence += flags_.batch, intended = interval > 0 ? intended + interval : NowNanos()) {
    if (interval > 0) {
      if (const int64_t early = intended - NowNanos(); early > 0)
        absl::SleepFor(absl::Nanoseconds(early));
    }
    publisher->Send({number, sequence, flags_.batch, intended});
  }
  publisher->Close();
}

// Until everything came, or nothing has come for a while.
void Bench::WaitForDeliveries() {
  constexpr absl::Duration kPatience = absl::Seconds(15);
  absl::Time last_change = absl::Now();
  uint64_t seen = 0;
  Progress progress("drain");
  const auto backlog = static_cast<double>(std::max<uint64_t>(tally_.tracker().missing(), 1));
  while (tally_.tracker().missing() > 0 && absl::Now() - last_change < kPatience) {
    if (const uint64_t now = tally_.delivered(); now != seen) {
      seen = now;
      last_change = absl::Now();
      const double left = std::min(static_cast<double>(tally_.tracker().missing()) / backlog, 1.0);
      progress.Show(1 - left, fmt::format("{} delivered", now));
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
  delivered_until_ = NowNanos();
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
    const double done =
        flags_.messages > 0
            ? static_cast<double>(tally_.accepted()) / static_cast<double>(flags_.messages)
            : absl::FDivDuration(absl::Nanoseconds(NowNanos() - started_), duration_);
    progress.Show(std::min(done, 1.0),
                  fmt::format("{} published, {} delivered", tally_.accepted(), tally_.delivered()));
    tenths_.Look(tally_.accepted(), NowNanos());
    absl::SleepFor(absl::Milliseconds(10));
  }
  for (std::thread& publisher : publishers) publisher.join();
  published_until_ = NowNanos();
}

int Bench::Run() {
  KeepFreedMemory();
  if (!flags_.receive_only) {
    const int64_t began = NowNanos();
    if (absl::Status status = load_->SetUp(); !status.ok()) return Report(session_, status);
    set_up_nanos_ = NowNanos() - began;
  }
  if (flags_.idle_streams > 0) {
    const int code =
        HoldIdleStreams(session_, options_.subscription, flags_.idle_streams, duration_);
    if (!flags_.keep) load_->CleanUp();
    return code;
  }
  tally_.tracker().Expect(flags_.publishers, flags_.subscriptions,
                          flags_.ordered ? flags_.keys : 0);
  if (flags_.receive_only) tally_.SetPace(flags_.rate);
  std::vector<std::shared_ptr<LoadSubscriber>> subscribers;
  const size_t wanted = flags_.publish_only ? 0 : flags_.subscribers * options_.all_subscriptions();
  for (size_t i = 0; i < wanted; ++i) subscribers.push_back(load_->Subscribe(i));
  // Opening many takes a while. Of one it need not be waited for, and not every server answers
  // before it has something.
  if (flags_.topics > 1) {
    for (const auto& subscriber : subscribers) subscriber->WaitUntilOpen();
  }
  started_ = published_until_ = NowNanos();
  if (flags_.receive_only) {
    for (size_t i = 0; i < flags_.publishers; ++i) tally_.tracker().Accepted(i, 0, messages_each_);
  } else {
    PublishAll();
  }
  if (!flags_.publish_only) WaitForDeliveries();
  for (auto& subscriber : subscribers) subscriber->Stop();
  if (!flags_.keep) load_->CleanUp();
  return Summarize();
}

nlohmann::ordered_json ToJson(const LatencyHistogram& latency) {
  return {{"p50", latency.Quantile(0.5) / 1e3},
          {"p99", latency.Quantile(0.99) / 1e3},
          {"p99.9", latency.Quantile(0.999) / 1e3},
          {"max", latency.Quantile(1) / 1e3}};
}

void Print(std::string_view what, const LatencyHistogram& latency) {
  fmt::print("{}  us p50 {:.0f}  p99 {:.0f}  p99.9 {:.0f}\n", what, latency.Quantile(0.5) / 1e3,
             latency.Quantile(0.99) / 1e3, latency.Quantile(0.999) / 1e3);
}

nlohmann::ordered_json Bench::SummaryAsJson() {
  Tracker& tracker = tally_.tracker();
  nlohmann::ordered_json out = {{"api", flags_.api},
                                {"published", tally_.accepted()},
                                {"refused", tally_.refused()},
                                {"delivered", tally_.delivered()},
                                {"lost", lost()},
                                {"duplicates", tracker.duplicates()},
                                {"unknown", tracker.unknown()}};
  if (flags_.ordered) out["out_of_order"] = tracker.out_of_order();
  if (flags_.topics > 1) {
    out["topics"] = flags_.topics;
    out["topics_created_per_second"] =
        static_cast<double>(flags_.topics) * 1e9 / static_cast<double>(set_up_nanos_);
  }
  if (flags_.messages > 0 && !flags_.receive_only) {
    out["first_tenth_per_second"] = tenths_.FirstRate(started_);
    out["last_tenth_per_second"] = tenths_.LastRate(tally_.accepted(), published_until_);
  }
  if (!flags_.receive_only) {
    out["published_per_second"] = Rate(tally_.accepted(), published_until_);
    out["publish_latency_us"] = ToJson(tally_.publish_latency());
  }
  if (!flags_.publish_only) {
    out["delivered_per_second"] = Rate(tally_.delivered(), delivered_until_);
    out["end_to_end_latency_us"] = ToJson(tally_.delivery_latency());
  }
  return out;
}

void Bench::PrintSummary() {
  Tracker& tracker = tally_.tracker();
  fmt::print("api {}\n", flags_.api);
  if (flags_.topics > 1) {
    fmt::print("topics {}, made with their subscriptions in {:.2f} s\n", flags_.topics,
               static_cast<double>(set_up_nanos_) / 1e9);
  }
  if (!flags_.receive_only) {
    fmt::print("published {}  {:.0f}/s  refused {}\n", tally_.accepted(),
               Rate(tally_.accepted(), published_until_), tally_.refused());
    Print("publish latency   ", tally_.publish_latency());
  }
  if (flags_.publish_only) return;
  fmt::print("delivered {}  {:.0f}/s  lost {}  duplicates {}  unknown {}\n", tally_.delivered(),
             Rate(tally_.delivered(), delivered_until_), lost(), tracker.duplicates(),
             tracker.unknown());
  if (flags_.ordered) fmt::print("out of order {}\n", tracker.out_of_order());
  Print("end-to-end latency", tally_.delivery_latency());
}

int Bench::Summarize() {
  if (session_.json) {
    fmt::print("{}\n", SummaryAsJson().dump());
  } else {
    PrintSummary();
  }
  if (const absl::Status error = tally_.error(); !error.ok()) return Report(session_, error);
  return lost() + tally_.tracker().unknown() + tally_.tracker().out_of_order() == 0 ? kOk : kFailed;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Run* run) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* bench =
      app.add_subcommand("bench", "Generate load and verify that every message arrives");
  bench->add_option("--api", flags->api, "native (sluice.v1) or google (google.pubsub.v1)")
      ->check(CLI::IsMember({"native", "google"}))
      ->capture_default_str();
  bench->add_option("--duration", flags->duration, "How long to publish, or to hold idle streams")
      ->capture_default_str();
  bench->add_option("--batch", flags->batch, "Messages per request")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  CLI::Option* messages = bench->add_option(
      "--messages", flags->messages, "Publish this many, in whole batches, instead of for a time");
  bench->add_option("--size", flags->size, "Bytes of payload, at least 24")->capture_default_str();
  bench
      ->add_option("--publishers", flags->publishers,
                   "Publishers, each with a connection of its own")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  bench
      ->add_option("--subscriptions", flags->subscriptions,
                   "Subscriptions of the topic; each gets every message, and is counted")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  bench->add_option("--subscribers", flags->subscribers, "Consumers that share a subscription")
      ->capture_default_str();
  bench->add_option("--inflight", flags->inflight, "Requests a publisher keeps in flight")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  bench
      ->add_option(
          "--rate", flags->rate,
          "Messages per second of all publishers together, or, with --receive-only, of all "
          "subscribers; 0 for as fast as it goes")
      ->capture_default_str();
  CLI::Option* keys =
      bench
          ->add_option("--keys", flags->keys,
                       "Ordering keys that each publisher goes through in turn; 0 for none")
          ->capture_default_str();
  bench
      ->add_flag("--ordered", flags->ordered,
                 "Let the subscription keep the order of each key, and count what breaks it")
      ->needs(keys);
  bench->add_flag("--exactly-once", flags->exactly_once,
                  "Let the subscription confirm acknowledgements");
  CLI::Option* name = bench->add_option(
      "--name", flags->name, "Of the topic and the subscription; made up when not given");
  bench->add_option(
      "--topic", flags->topic,
      "A topic that is there already, to publish to with a subscription of the bench's own");
  bench
      ->add_option(
          "--topics", flags->topics,
          "Spread the load over this many topics with a subscription each; needs --api=google")
      ->check(CLI::Range(1, 1'000'000))
      ->excludes("--topic")
      ->excludes("--ordered")
      ->excludes("--subscriptions")
      ->capture_default_str();
  CLI::Option* publish_only = bench->add_flag("--publish-only", flags->publish_only,
                                              "Let the subscription fill; no deliveries");
  bench
      ->add_flag("--receive-only", flags->receive_only,
                 "Receive what --publish-only --keep with the same --messages left")
      ->needs(name)
      ->needs(messages)
      ->excludes(publish_only)
      ->excludes("--topic");
  bench->add_flag("--keep", flags->keep, "Leave topic and subscription behind");
  bench
      ->add_option("--idle-streams", flags->idle_streams,
                   "Open this many StreamingPull streams and hold them, for a look at the server's "
                   "memory; needs --api=google")
      ->check(CLI::Range(1, 100'000))
      ->excludes(publish_only)
      ->excludes(messages);
  bench->footer(
      "Examples:\n  sluice bench --duration=10s --batch=100 --size=100 --inflight=16\n"
      "  sluice bench --api=google --batch=1 --inflight=32 --publish-only\n"
      "  sluice bench --api=google --topics=10000\n"
      "  sluice bench --subscriptions=50 --publishers=2\n"
      "  sluice bench --api=google --idle-streams=1000 --duration=1m\n\n"
      "Latencies count from the moment a message was meant to be sent. Exit code 1 when anything "
      "is lost or out of order.");
  bench->callback([=] {
    if (flags->topics > 1 && flags->api != "google")
      throw CLI::ValidationError("--topics", "needs --api=google");
    if (flags->idle_streams > 0 && flags->api != "google")
      throw CLI::ValidationError("--idle-streams", "needs --api=google");
    *run = [=](const Session& session) { return Bench(session, *flags).Run(); };
  });
}

}  // namespace sluice::cli
