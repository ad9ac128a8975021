// sluice stats
#include "client/cli/commands/commands.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

std::string_view NameOf(v1::BreakerState state) {
  switch (state) {
    case v1::BREAKER_STATE_CLOSED:
      return "closed";
    case v1::BREAKER_STATE_OPEN:
      return "open";
    case v1::BREAKER_STATE_HALF_OPEN:
      return "half-open";
    default:
      return "unknown";
  }
}

// What the server has stopped calling. One that is older has no such method, and nothing to say.
void AddBreakers(const Session& session, client::Admin& admin, nlohmann::ordered_json* out) {
  auto breakers = admin.GetBreakers();
  if (!breakers.ok()) return;
  if (session.json) {
    (*out)["breakers"] = ToJson(*breakers);
    return;
  }
  const v1::Breaker& store = breakers->store();
  fmt::print("\n{:<50} {:>12} {:>10} {:>12}  {}\n", "CIRCUIT BREAKER", "STATE", "OPENED",
             "REJECTIONS", "LAST CHANGE");
  fmt::print("{:<50} {:>12} {:>10} {:>12}  {}\n", "store", NameOf(store.state()), store.opened(),
             store.rejections(), store.cause());
}

int Stats(const Session& session) {
  client::Admin admin = session.OpenAdmin();
  const std::string project = "projects/" + session.project;
  auto topics = admin.ListTopics(project);
  if (!topics.ok()) return Report(session, topics.status());
  auto subscriptions = admin.ListSubscriptions(project);
  if (!subscriptions.ok()) return Report(session, subscriptions.status());
  nlohmann::ordered_json out = {{"topics", nlohmann::json::array()},
                                {"subscriptions", nlohmann::json::array()}};
  if (!session.json)
    fmt::print("{:<50} {:>12} {:>14} {:>12} {:>5}\n", "TOPIC", "RETAINED", "BYTES", "PUBLISHED",
               "SUBS");
  for (const v1::Topic& topic : *topics) {
    auto stats = admin.GetTopicStats(topic.name());
    if (!stats.ok()) continue;  // deleted meanwhile
    if (session.json) {
      out["topics"].push_back(ToJson(*stats));
    } else {
      fmt::print("{:<50} {:>12} {:>14} {:>12} {:>5}\n", stats->name(), stats->retained_messages(),
                 stats->retained_bytes(), stats->published_messages(), stats->subscriptions());
    }
  }
  if (!session.json) {
    fmt::print("\n{:<50} {:>12} {:>10} {:>12} {:>12} {:>9}\n", "SUBSCRIPTION", "BACKLOG", "LEASED",
               "DELIVERED", "ACKED", "CONSUMERS");
  }
  for (const v1::Subscription& subscription : *subscriptions) {
    auto stats = admin.GetSubscriptionStats(subscription.name());
    if (!stats.ok()) continue;
    if (session.json) {
      out["subscriptions"].push_back(ToJson(*stats));
    } else {
      fmt::print("{:<50} {:>12} {:>10} {:>12} {:>12} {:>9}\n", stats->name(),
                 stats->backlog_messages(), stats->leased_messages(), stats->delivered_messages(),
                 stats->acked_messages(), stats->consumers());
    }
  }
  AddBreakers(session, admin, &out);
  if (session.json) fmt::print("{}\n", out.dump());
  return kOk;
}

}  // namespace

void AddStatsCommand(CLI::App& app, Run* run) {
  CLI::App* stats = app.add_subcommand("stats", "Show topics, backlogs and circuit breakers");
  stats->footer("Example:\n  sluice stats --output=json");
  stats->callback([=] { *run = Stats; });
}

}  // namespace sluice::cli
