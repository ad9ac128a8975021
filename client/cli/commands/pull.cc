// sluice pull SUBSCRIPTION and sluice tail TOPIC: receive messages and print them.
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <system_error>

#include "absl/strings/escaping.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/pull.h"
#include "client/cli/commands/start_position.h"
#include "client/cpp/subscriber.h"
#include "core/base/strings.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

std::atomic<bool> interrupted{false};

void Print(const Session& session, const client::ReceivedMessage& message) {
  const std::string data(message.data);
  const std::string time =
      absl::FormatTime(absl::RFC3339_full, message.publish_time, absl::UTCTimeZone());
  if (!session.json) {
    std::string attributes;
    message.ForEachAttribute([&](std::string_view key, std::string_view value) {
      attributes += fmt::format(" {}={}", key, value);
    });
    fmt::print("{} {} {}{}\n", message.id, time,
               IsValidUtf8(data) ? data : absl::Base64Escape(data), attributes);
    return;
  }
  nlohmann::ordered_json out = {
      {"id", std::to_string(message.id)}, {"publish_time", time}, {"attempt", message.attempt}};
  IsValidUtf8(data) ? out["data"] = data : out["data_base64"] = absl::Base64Escape(data);
  out["attributes"] = nlohmann::json::object();
  message.ForEachAttribute([&](std::string_view key, std::string_view value) {
    out["attributes"][std::string(key)] = std::string(value);
  });
  if (!message.ordering_key.empty()) out["ordering_key"] = std::string(message.ordering_key);
  if (message.priority != 0) out["priority"] = message.priority;
  fmt::print("{}\n", out.dump());
}

// Counts what was printed; ends the command when there was enough, when nothing came for a while,
// or on Ctrl-C.
class Receiver {
 public:
  Receiver(const Session& session, const PullFlags& flags)
      : session_(session),
        flags_(flags),
        idle_(ParseDurationOrThrow("--idle-timeout", flags.idle)) {}

  client::Verdict Handle(const client::ReceivedMessage& message) {
    std::unique_lock lock(mu_);
    last_ = absl::Now();
    if (!finished_.ok() || (flags_.count > 0 && printed_ >= flags_.count))
      return client::Verdict::Nack();
    Print(session_, message);
    // What nobody can read is not acknowledged.
    if (std::fflush(stdout) != 0) {
      finished_ = absl::AbortedError(fmt::format("standard output cannot be written: {}",
                                                 std::generic_category().message(errno)));
      changed_.notify_all();
      return client::Verdict::Nack();
    }
    ++printed_;
    if (flags_.count > 0 && printed_ >= flags_.count) changed_.notify_all();
    if (flags_.ack == "auto") return client::Verdict::Ack();
    if (flags_.ack == "nack") return client::Verdict::Nack();
    // Neither: the message is held until the stream ends, and comes again then.
    while (!ending_) changed_.wait(lock);
    return client::Verdict::Nack();
  }
  void Finished(const absl::Status& status) {
    std::lock_guard lock(mu_);
    finished_ = status;
    changed_.notify_all();
  }
  absl::Status Wait() {
    std::unique_lock lock(mu_);
    last_ = absl::Now();
    while (finished_.ok() && !interrupted && (flags_.count == 0 || printed_ < flags_.count) &&
           (flags_.follow || absl::Now() - last_ < idle_)) {
      changed_.wait_for(lock, std::chrono::milliseconds(100));
    }
    ending_ = true;
    changed_.notify_all();
    return finished_;
  }
  bool enough() const { return flags_.count == 0 || printed_ >= flags_.count; }

 private:
  const Session& session_;
  const PullFlags& flags_;
  const absl::Duration idle_;
  std::mutex mu_;
  std::condition_variable changed_;
  int64_t printed_ = 0;
  absl::Time last_;
  bool ending_ = false;
  absl::Status finished_;
};

void AddCommon(CLI::App* command, const std::shared_ptr<PullFlags>& flags) {
  command->add_option("--count,-n", flags->count,
                      "Stop after this many messages (exit code 1 if fewer arrive)");
  command->add_flag("--follow,-f", flags->follow, "Wait for more until Ctrl-C");
  command->add_option("--idle-timeout", flags->idle, "Stop after this long without a message")
      ->capture_default_str();
}

}  // namespace

int Receive(const Session& session, const PullFlags& flags, client::SubscriberTarget target) {
  std::signal(SIGINT, [](int) { interrupted = true; });
  Receiver receiver(session, flags);
  client::SubscriberOptions options;
  options.client_id = "sluice-cli";
  options.concurrency = flags.ack == "none" ? 256 : 1;
  options.max_outstanding_messages =
      flags.ack == "none" ? 256 : (flags.count > 0 ? std::min<int64_t>(flags.count, 1000) : 1000);
  options.finished = [&receiver](const absl::Status& status) { receiver.Finished(status); };
  client::Subscriber subscriber(session.Connect(), std::move(target), options);
  subscriber.Start(
      [&receiver](const client::ReceivedMessage& message) { return receiver.Handle(message); });
  const absl::Status ended = receiver.Wait();
  subscriber.Stop(session.timeout).IgnoreError();
  if (!ended.ok()) return Report(session, ended);
  return receiver.enough() ? kOk : kFailed;
}

void AddPullCommands(CLI::App& app, Run* run) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* pull = app.add_subcommand("pull", "Receive the messages of a subscription");
  pull->add_option("subscription", flags->target, "Short or full name")->required();
  pull->add_option("--ack", flags->ack,
                   "auto: acknowledge what was printed; none: hold it; nack: give it back")
      ->check(CLI::IsMember({"auto", "none", "nack"}))
      ->capture_default_str();
  AddCommon(pull, flags);
  pull->footer("Example:\n  sluice pull billing --follow --output=json");
  pull->callback([=] {
    *run = [=](const Session& session) {
      return Receive(session, *flags, {.subscription = session.SubscriptionName(flags->target)});
    };
  });
  CLI::App* tail = app.add_subcommand("tail", "Watch a topic through a temporary subscription");
  tail->add_option("topic", flags->target, "Short or full name")->required();
  tail->add_option("--from", flags->from,
                   "earliest, latest, a time (2026-01-31T10:00:00Z) or a message id")
      ->capture_default_str();
  tail->add_option(
      "--filter", flags->filter,
      "Only messages that match, as in: attributes.colour = \"red\" AND priority >= 5");
  AddCommon(tail, flags);
  tail->footer("Example:\n  sluice tail orders --from=earliest --follow");
  tail->callback([=] {
    *run = [=](const Session& session) {
      client::SubscriberTarget target{.topic = session.TopicName(flags->target)};
      ParseStart(flags->from, &target.start);
      target.filter = flags->filter;
      return Receive(session, *flags, std::move(target));
    };
  });
}

}  // namespace sluice::cli
