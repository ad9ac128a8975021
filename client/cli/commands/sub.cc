// sluice sub create|list|describe|update|seek|delete
#include <optional>

#include "absl/strings/numbers.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/start_position.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

struct SubFlags {
  std::string name;
  std::string topic;
  std::string from = "latest";
  int32_t ack_deadline = 0;
  std::string filter;
  std::string min_backoff;
  std::string max_backoff;
  std::string dead_letter_topic;
  int32_t max_attempts = 0;
  bool dead_letter_expired = false;
  bool no_breaker = false;
  double breaker_ratio = 0;
  int32_t breaker_minimum = 0;
  std::string breaker_window;
  std::string breaker_open_time;
  std::string breaker_max_open_time;
  int32_t breaker_probes = 0;
  bool ordered = false;
  bool priority_delivery = false;
  std::optional<bool> exactly_once;
  std::optional<bool> skip_damaged;
  std::string acked_retention;
  std::string retention;
  std::string expire_after;
  std::string push;
  bool no_push = false;
  bool push_raw = false;
  bool push_metadata = false;
  std::string seek_to;
  std::string snapshot;
  std::vector<std::string> labels;
};

double Seconds(const google::protobuf::Duration& d) {
  return static_cast<double>(d.seconds()) + d.nanos() / 1e9;
}

void ShowBreaker(const v1::DeliveryBreakerPolicy& breaker) {
  if (breaker.disabled()) {
    fmt::print("  breaker       off\n");
    return;
  }
  fmt::print("  breaker       at {} of {} in {} s, open {} s to {} s, {} probes\n",
             breaker.failure_ratio(), breaker.minimum_deliveries(), Seconds(breaker.window()),
             Seconds(breaker.open_time()), Seconds(breaker.max_open_time()), breaker.probes());
}

int Show(const Session& session, const absl::StatusOr<v1::Subscription>& subscription,
         std::string_view done) {
  if (!subscription.ok()) return Report(session, subscription.status());
  if (session.json) {
    fmt::print("{}\n", ToJson(*subscription).dump());
    return kOk;
  }
  fmt::print("{}{}\n  topic         {}\n  ack_deadline  {} s\n", done, subscription->name(),
             subscription->topic(), subscription->ack_deadline_seconds());
  if (!subscription->filter().empty()) fmt::print("  filter        {}\n", subscription->filter());
  if (subscription->has_retry_policy()) {
    fmt::print("  backoff       {} s to {} s\n",
               Seconds(subscription->retry_policy().minimum_backoff()),
               Seconds(subscription->retry_policy().maximum_backoff()));
  }
  if (subscription->has_dead_letter_policy()) {
    fmt::print("  dead letters  {} after {} attempts\n",
               subscription->dead_letter_policy().dead_letter_topic(),
               subscription->dead_letter_policy().max_delivery_attempts());
  }
  if (subscription->has_delivery_breaker_policy())
    ShowBreaker(subscription->delivery_breaker_policy());
  if (subscription->enable_message_ordering()) fmt::print("  order         of keys is kept\n");
  if (subscription->skip_damaged()) fmt::print("  damaged       messages are skipped\n");
  if (subscription->enable_exactly_once_delivery())
    fmt::print("  exactly once  acknowledgements are confirmed\n");
  if (subscription->priority_delivery()) fmt::print("  priority      higher ones first\n");
  if (subscription->has_acked_retention()) {
    fmt::print("  keeps         acknowledged messages for {} s\n",
               Seconds(subscription->acked_retention()));
  }
  if (subscription->has_retention()) {
    fmt::print("  keeps         messages nobody acknowledged for {} s\n",
               Seconds(subscription->retention()));
  }
  if (subscription->has_expire_after())
    fmt::print("  expires       unused for {} s\n", Seconds(subscription->expire_after()));
  if (subscription->has_push()) fmt::print("  pushed to     {}\n", subscription->push().endpoint());
  if (subscription->detached()) fmt::print("  detached      from its topic\n");
  for (const auto& [key, value] : subscription->labels())
    fmt::print("  label         {}={}\n", key, value);
  return kOk;
}

// Whether there was anything to fill in.
bool FillBreaker(const SubFlags& flags, v1::DeliveryBreakerPolicy* breaker) {
  breaker->set_disabled(flags.no_breaker);
  breaker->set_failure_ratio(flags.breaker_ratio);
  breaker->set_minimum_deliveries(flags.breaker_minimum);
  breaker->set_probes(flags.breaker_probes);
  if (!flags.breaker_window.empty())
    SetDuration("--breaker-window", flags.breaker_window, breaker->mutable_window());
  if (!flags.breaker_open_time.empty()) {
    SetDuration("--breaker-open-time", flags.breaker_open_time, breaker->mutable_open_time());
  }
  if (!flags.breaker_max_open_time.empty()) {
    SetDuration("--breaker-max-open-time", flags.breaker_max_open_time,
                breaker->mutable_max_open_time());
  }
  return breaker->ByteSizeLong() > 0;
}

std::vector<std::string> Fill(const Session& session, const SubFlags& flags,
                              v1::Subscription* subscription) {
  std::vector<std::string> fields;
  if (!flags.min_backoff.empty() || !flags.max_backoff.empty()) {
    v1::RetryPolicy& retry = *subscription->mutable_retry_policy();
    if (!flags.min_backoff.empty())
      SetDuration("--min-backoff", flags.min_backoff, retry.mutable_minimum_backoff());
    if (!flags.max_backoff.empty())
      SetDuration("--max-backoff", flags.max_backoff, retry.mutable_maximum_backoff());
    fields.emplace_back("retry_policy");
  }
  if (!flags.dead_letter_topic.empty()) {
    v1::DeadLetterPolicy& dead_letter = *subscription->mutable_dead_letter_policy();
    dead_letter.set_dead_letter_topic(session.TopicName(flags.dead_letter_topic));
    dead_letter.set_max_delivery_attempts(flags.max_attempts);
    dead_letter.set_dead_letter_expired(flags.dead_letter_expired);
    fields.emplace_back("dead_letter_policy");
  }
  if (v1::DeliveryBreakerPolicy breaker; FillBreaker(flags, &breaker)) {
    *subscription->mutable_delivery_breaker_policy() = std::move(breaker);
    fields.emplace_back("delivery_breaker_policy");
  }
  if (flags.ack_deadline != 0) {
    subscription->set_ack_deadline_seconds(flags.ack_deadline);
    fields.emplace_back("ack_deadline_seconds");
  }
  if (flags.exactly_once) {
    subscription->set_enable_exactly_once_delivery(*flags.exactly_once);
    fields.emplace_back("enable_exactly_once_delivery");
  }
  if (flags.skip_damaged) {
    subscription->set_skip_damaged(*flags.skip_damaged);
    fields.emplace_back("skip_damaged");
  }
  if (!flags.acked_retention.empty()) {
    SetDuration("--acked-retention", flags.acked_retention,
                subscription->mutable_acked_retention());
    fields.emplace_back("acked_retention");
  }
  if (!flags.retention.empty()) {
    SetDuration("--retention", flags.retention, subscription->mutable_retention());
    fields.emplace_back("retention");
  }
  if (!flags.expire_after.empty()) {
    SetDuration("--expire-after", flags.expire_after, subscription->mutable_expire_after());
    fields.emplace_back("expire_after");
  }
  if (!flags.push.empty()) {
    subscription->mutable_push()->set_endpoint(flags.push);
    subscription->mutable_push()->set_raw_body(flags.push_raw);
    subscription->mutable_push()->set_metadata_headers(flags.push_metadata);
  }
  if (!flags.push.empty() || flags.no_push) fields.emplace_back("push");
  if (!flags.labels.empty()) {
    ParsePairs(flags.labels, subscription->mutable_labels());
    fields.emplace_back("labels");
  }
  return fields;
}

void AddBreakerSettings(CLI::App* command, const std::shared_ptr<SubFlags>& flags) {
  CLI::Option* off =
      command->add_flag("--no-breaker", flags->no_breaker, "Turn the delivery circuit breaker off");
  command
      ->add_option("--breaker-ratio", flags->breaker_ratio,
                   "Slow them when this part of the first deliveries fails, 0.9")
      ->excludes(off);
  command
      ->add_option("--breaker-minimum", flags->breaker_minimum, "... and there were as many, 100")
      ->excludes(off);
  command->add_option("--breaker-window", flags->breaker_window, "... within this time, 1m")
      ->excludes(off);
  command
      ->add_option("--breaker-open-time", flags->breaker_open_time,
                   "How long nothing is delivered at first, 1s")
      ->excludes(off);
  command
      ->add_option("--breaker-max-open-time", flags->breaker_max_open_time, "... and at most, 1m")
      ->excludes(off);
  command
      ->add_option("--breaker-probes", flags->breaker_probes,
                   "How many messages are tried then, 10")
      ->excludes(off);
}

void AddSettings(CLI::App* command, const std::shared_ptr<SubFlags>& flags) {
  command->add_option("--ack-deadline", flags->ack_deadline, "Ack deadline in seconds, 10 to 600");
  command->add_option("--min-backoff", flags->min_backoff, "Minimum redelivery delay, 0 to 600s");
  command->add_option("--max-backoff", flags->max_backoff, "Maximum redelivery delay, 0 to 600s");
  CLI::Option* dead_letter = command->add_option("--dead-letter-topic", flags->dead_letter_topic,
                                                 "Topic for messages that fail too often");
  command
      ->add_option("--max-attempts", flags->max_attempts,
                   "Delivery attempts before a message is dead-lettered, 5 to 100")
      ->needs(dead_letter);
  command
      ->add_flag("--dead-letter-expired", flags->dead_letter_expired,
                 "Dead-letter expired messages too")
      ->needs(dead_letter);
  command
      ->add_option("--exactly-once", flags->exactly_once,
                   "Acknowledgements are confirmed, and refused when late; =false turns it off")
      ->expected(0, 1)
      ->default_str("true");
  command
      ->add_option("--skip-damaged", flags->skip_damaged,
                   "Go past messages that are damaged on the server's disk; =false turns it off")
      ->expected(0, 1)
      ->default_str("true");
  command->add_option("--acked-retention", flags->acked_retention,
                      "Keep acknowledged messages this long, to seek back to");
  command->add_option("--retention", flags->retention,
                      "How long to keep unacknowledged messages, 10m to 744h");
  command->add_option("--expire-after", flags->expire_after,
                      "Delete the subscription after this long without use, 24h or more");
  CLI::Option* push = command->add_option(
      "--push", flags->push, "URL to send messages to instead of waiting for subscribers");
  command->add_flag("--no-push", flags->no_push, "Wait for subscribers again")->excludes(push);
  CLI::Option* raw =
      command->add_flag("--push-raw", flags->push_raw, "Send the payload alone, not as JSON")
          ->needs(push);
  command
      ->add_flag("--push-metadata", flags->push_metadata,
                 "Beside it the rest of the message in headers")
      ->needs(raw);
  AddBreakerSettings(command, flags);
  command->add_option("--label", flags->labels, "KEY=VALUE; may be repeated");
}

}  // namespace

void AddSubCommands(CLI::App& app, Run* run) {
  CLI::App* sub = app.add_subcommand("sub", "Create, list, change and delete subscriptions");
  sub->require_subcommand(1);
  auto flags = std::make_shared<SubFlags>();
  const auto named = [&](const char* name, const char* help, const char* example) {
    CLI::App* command = sub->add_subcommand(name, help);
    command->add_option("subscription", flags->name, "Short or full name")->required();
    command->footer(std::string("Example:\n  ") + example);
    return command;
  };
  CLI::App* create = named("create", "Create a subscription",
                           "sluice sub create billing --topic=orders --from=earliest");
  create->add_option("--topic", flags->topic, "Its topic")->required();
  create
      ->add_option("--from", flags->from,
                   "earliest, latest, a time (2026-01-31T10:00:00Z) or a message id")
      ->capture_default_str();
  create->add_option(
      "--filter", flags->filter,
      "Only messages that match, as in: attributes.colour = \"red\" AND priority >= 5");
  create->add_flag("--ordered", flags->ordered,
                   "Deliver messages with the same ordering key in publish order");
  create->add_flag("--priority-delivery", flags->priority_delivery,
                   "Deliver higher priorities first");
  AddSettings(create, flags);
  create->callback([=] {
    *run = [=](const Session& session) {
      v1::Subscription wanted;
      wanted.set_name(session.SubscriptionName(flags->name));
      wanted.set_topic(session.TopicName(flags->topic));
      ParseStart(flags->from, wanted.mutable_start());
      wanted.set_filter(flags->filter);
      wanted.set_enable_message_ordering(flags->ordered);
      wanted.set_priority_delivery(flags->priority_delivery);
      Fill(session, *flags, &wanted);
      return Show(session, session.OpenAdmin().CreateSubscription(wanted), "created ");
    };
  });
  named("describe", "Show a subscription", "sluice sub describe billing")->callback([=] {
    *run = [=](const Session& session) {
      return Show(session,
                  session.OpenAdmin().GetSubscription(session.SubscriptionName(flags->name)), "");
    };
  });
  CLI::App* update =
      named("update", "Change a subscription", "sluice sub update billing --ack-deadline=60");
  AddSettings(update, flags);
  update->callback([=] {
    *run = [=](const Session& session) {
      v1::Subscription wanted;
      wanted.set_name(session.SubscriptionName(flags->name));
      const std::vector<std::string> fields = Fill(session, *flags, &wanted);
      return Show(session, session.OpenAdmin().UpdateSubscription(wanted, fields), "updated ");
    };
  });
  CLI::App* seek = named("seek", "Move a subscription to a time, message or snapshot",
                         "sluice sub seek billing --to=2026-01-31T10:00:00Z");
  CLI::Option* to = seek->add_option(
      "--to", flags->seek_to, "earliest, latest (drops the backlog), a time, or a message id");
  seek->add_option("--snapshot", flags->snapshot, "As it was when this snapshot was made")
      ->excludes(to);
  seek->callback([=] {
    *run = [=](const Session& session) {
      v1::SeekSubscriptionRequest request;
      request.set_name(session.SubscriptionName(flags->name));
      if (!flags->snapshot.empty()) request.set_snapshot(session.SnapshotName(flags->snapshot));
      if (!flags->seek_to.empty()) ParseStart(flags->seek_to, request.mutable_position(), "--to");
      const absl::Status status = session.OpenAdmin().Seek(request);
      if (!status.ok()) return Report(session, status);
      session.json ? fmt::print("{}\n", nlohmann::json{{"sought", request.name()}}.dump())
                   : fmt::print("{} will deliver from the new position\n", request.name());
      return static_cast<int>(kOk);
    };
  });
  named("delete", "Delete a subscription", "sluice sub delete billing")->callback([=] {
    *run = [=](const Session& session) {
      const std::string name = session.SubscriptionName(flags->name);
      const absl::Status status = session.OpenAdmin().DeleteSubscription(name);
      if (!status.ok()) return Report(session, status);
      session.json ? fmt::print("{}\n", nlohmann::json{{"deleted", name}}.dump())
                   : fmt::print("deleted {}\n", name);
      return static_cast<int>(kOk);
    };
  });
  CLI::App* list = sub->add_subcommand("list", "List the subscriptions of the project");
  list->add_option("--topic", flags->topic, "Only those of this topic");
  list->footer("Example:\n  sluice sub list --topic=orders");
  list->callback([=] {
    *run = [=](const Session& session) {
      auto found = session.OpenAdmin().ListSubscriptions(
          "projects/" + session.project,
          flags->topic.empty() ? "" : session.TopicName(flags->topic));
      if (!found.ok()) return Report(session, found.status());
      nlohmann::ordered_json all = nlohmann::ordered_json::array();
      for (const v1::Subscription& one : *found) {
        session.json ? all.push_back(ToJson(one)) : fmt::print("{}  {}\n", one.name(), one.topic());
      }
      if (session.json) fmt::print("{}\n", all.dump());
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace sluice::cli
