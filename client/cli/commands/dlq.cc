// sluice dlq list|peek: the dead letters of subscriptions; redrive.cc has redrive|purge.
#include "client/cli/commands/commands.h"
#include "client/cli/commands/pull.h"
#include "client/cli/commands/redrive.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

int ListDeadLetterPolicies(const Session& session) {
  client::Admin admin = session.OpenAdmin();
  const auto subscriptions = admin.ListSubscriptions("projects/" + session.project);
  if (!subscriptions.ok()) return Report(session, subscriptions.status());
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const v1::Subscription& subscription : *subscriptions) {
    if (!subscription.has_dead_letter_policy()) continue;
    const v1::DeadLetterPolicy& policy = subscription.dead_letter_policy();
    const auto stats = admin.GetTopicStats(policy.dead_letter_topic());
    const std::string retained =
        stats.ok() ? std::to_string(stats->retained_messages()) : "none, the topic is missing";
    if (session.json) {
      all.push_back({{"subscription", subscription.name()},
                     {"dead_letter_topic", policy.dead_letter_topic()},
                     {"max_delivery_attempts", policy.max_delivery_attempts()},
                     {"topic_exists", stats.ok()},
                     {"retained_messages", stats.ok() ? stats->retained_messages() : 0}});
    } else {
      fmt::print("{}  {} after {} attempts, retained there: {}\n", subscription.name(),
                 policy.dead_letter_topic(), policy.max_delivery_attempts(), retained);
    }
  }
  if (session.json) fmt::print("{}\n", all.dump());
  return kOk;
}

int Peek(const Session& session, const PullFlags& flags) {
  const auto subscription =
      session.OpenAdmin().GetSubscription(session.SubscriptionName(flags.target));
  if (!subscription.ok()) return Report(session, subscription.status());
  if (!subscription->has_dead_letter_policy()) {
    fmt::print(
        stderr,
        "sluice: {} has no dead-letter topic; sluice sub update --dead-letter-topic gives it one\n",
        subscription->name());
    return kFailed;
  }
  client::SubscriberTarget target{.topic = subscription->dead_letter_policy().dead_letter_topic()};
  target.start.set_earliest(true);
  const std::string id = subscription->name().substr(subscription->name().rfind('/') + 1);
  target.filter = fmt::format("attributes.CloudPubSubDeadLetterSourceSubscription = \"{}\"", id);
  const int exit_code = Receive(session, flags, std::move(target));
  // Fewer than asked for is no failure here.
  return exit_code == kFailed ? kOk : exit_code;
}

}  // namespace

void AddDlqCommands(CLI::App& app, Run* run) {
  CLI::App* dlq = app.add_subcommand("dlq", "Inspect, redrive and purge dead letters");
  dlq->require_subcommand(1);
  CLI::App* list =
      dlq->add_subcommand("list", "List subscriptions with a dead-letter topic, and its backlog");
  list->footer("Example:\n  sluice dlq list");
  list->callback([=] { *run = ListDeadLetterPolicies; });
  AddRedriveCommands(dlq, run);
  auto flags = std::make_shared<PullFlags>();
  flags->count = 10;
  CLI::App* peek = dlq->add_subcommand(
      "peek", "Show dead letters of a subscription and their cause; they stay where they are");
  peek->add_option("subscription", flags->target, "Short or full name")->required();
  peek->add_option("--count,-n", flags->count, "At most this many; 0 for all")
      ->capture_default_str();
  peek->footer("Example:\n  sluice dlq peek billing --count=5 --output=json");
  peek->callback([=] { *run = [=](const Session& session) { return Peek(session, *flags); }; });
}

}  // namespace sluice::cli
