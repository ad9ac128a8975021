// sluice topic create|list|describe|update|delete
#include "client/cli/commands/commands.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

struct TopicFlags {
  std::string name;
  std::string retention;
  int64_t retention_bytes = -1;
  std::string message_ttl;
  std::string max_delay;
  std::string acked_retention;
  std::optional<bool> discard_unsubscribed;
  std::vector<std::string> labels;
};

std::string DurationText(const google::protobuf::Duration& d) {
  return absl::FormatDuration(absl::Seconds(d.seconds()));
}

int Show(const Session& session, const absl::StatusOr<v1::Topic>& topic, std::string_view done) {
  if (!topic.ok()) return Report(session, topic.status());
  if (session.json) {
    fmt::print("{}\n", ToJson(*topic).dump());
    return kOk;
  }
  fmt::print("{}{}\n  retention        {}\n  retention_bytes  {}\n", done, topic->name(),
             DurationText(topic->retention()),
             topic->retention_bytes() == 0 ? "no limit" : std::to_string(topic->retention_bytes()));
  if (topic->has_message_ttl())
    fmt::print("  message_ttl      {}\n", DurationText(topic->message_ttl()));
  if (topic->has_max_delay())
    fmt::print("  max_delay        {}\n", DurationText(topic->max_delay()));
  if (topic->has_acked_retention())
    fmt::print("  acked_retention  {}\n", DurationText(topic->acked_retention()));
  fmt::print("  unsubscribed     {}\n",
             topic->discard_unsubscribed() ? "messages are discarded while there is no subscription"
                                           : "messages are kept for the first subscription");
  for (const auto& [key, value] : topic->labels())
    fmt::print("  label            {}={}\n", key, value);
  return kOk;
}

// Fills in what was given; returns the names of those fields.
std::vector<std::string> Fill(const TopicFlags& flags, v1::Topic* topic) {
  std::vector<std::string> fields;
  if (!flags.retention.empty()) {
    const absl::Duration retention = ParseDurationOrThrow("--retention", flags.retention);
    topic->mutable_retention()->set_seconds(absl::ToInt64Seconds(retention));
    fields.emplace_back("retention");
  }
  if (flags.retention_bytes >= 0) {
    topic->set_retention_bytes(flags.retention_bytes);
    fields.emplace_back("retention_bytes");
  }
  if (!flags.message_ttl.empty()) {
    SetDuration("--message-ttl", flags.message_ttl, topic->mutable_message_ttl());
    fields.emplace_back("message_ttl");
  }
  if (!flags.max_delay.empty()) {
    SetDuration("--max-delay", flags.max_delay, topic->mutable_max_delay());
    fields.emplace_back("max_delay");
  }
  if (!flags.acked_retention.empty()) {
    SetDuration("--acked-retention", flags.acked_retention, topic->mutable_acked_retention());
    fields.emplace_back("acked_retention");
  }
  if (flags.discard_unsubscribed) {
    topic->set_discard_unsubscribed(*flags.discard_unsubscribed);
    fields.emplace_back("discard_unsubscribed");
  }
  if (!flags.labels.empty()) {
    ParsePairs(flags.labels, topic->mutable_labels());
    fields.emplace_back("labels");
  }
  return fields;
}

void AddSettings(CLI::App* command, const std::shared_ptr<TopicFlags>& flags) {
  command->add_option("--retention", flags->retention, "Maximum retention, 10m to 744h");
  command->add_option("--retention-bytes", flags->retention_bytes,
                      "Most bytes that are kept; 0 for no limit");
  command->add_option("--message-ttl", flags->message_ttl,
                      "Expire messages after this time, 1s to 744h");
  command->add_option("--max-delay", flags->max_delay,
                      "Longest delivery delay a message may ask for");
  command->add_option("--acked-retention", flags->acked_retention,
                      "Keep acknowledged messages this long, to seek back to");
  command->add_option("--discard-unsubscribed", flags->discard_unsubscribed,
                      "true: discard what is published while there is no subscription; false "
                      "(default): keep it for the first one");
  command->add_option("--label", flags->labels, "KEY=VALUE; may be repeated");
}

}  // namespace

void AddTopicCommands(CLI::App& app, Run* run) {
  CLI::App* topic = app.add_subcommand("topic", "Create, list, change and delete topics");
  topic->require_subcommand(1);
  auto flags = std::make_shared<TopicFlags>();
  const auto named = [&](const char* name, const char* help, const char* example) {
    CLI::App* command = topic->add_subcommand(name, help);
    command->add_option("topic", flags->name, "Short or full name")->required();
    command->footer(std::string("Example:\n  ") + example);
    return command;
  };
  CLI::App* create =
      named("create", "Create a topic", "sluice topic create orders --retention=24h");
  AddSettings(create, flags);
  create->callback([=] {
    *run = [=](const Session& session) {
      v1::Topic wanted;
      wanted.set_name(session.TopicName(flags->name));
      Fill(*flags, &wanted);
      return Show(session, session.OpenAdmin().CreateTopic(wanted), "created ");
    };
  });
  named("describe", "Show a topic", "sluice topic describe orders")->callback([=] {
    *run = [=](const Session& session) {
      return Show(session, session.OpenAdmin().GetTopic(session.TopicName(flags->name)), "");
    };
  });
  CLI::App* update =
      named("update", "Change a topic", "sluice topic update orders --retention=48h");
  AddSettings(update, flags);
  update->callback([=] {
    *run = [=](const Session& session) {
      v1::Topic wanted;
      wanted.set_name(session.TopicName(flags->name));
      const std::vector<std::string> fields = Fill(*flags, &wanted);
      return Show(session, session.OpenAdmin().UpdateTopic(wanted, fields), "updated ");
    };
  });
  named("delete", "Delete a topic and its messages", "sluice topic delete orders")->callback([=] {
    *run = [=](const Session& session) {
      const std::string name = session.TopicName(flags->name);
      const absl::Status status = session.OpenAdmin().DeleteTopic(name);
      if (!status.ok()) return Report(session, status);
      session.json ? fmt::print("{}\n", nlohmann::json{{"deleted", name}}.dump())
                   : fmt::print("deleted {}\n", name);
      return static_cast<int>(kOk);
    };
  });
  CLI::App* list = topic->add_subcommand("list", "List the topics of the project");
  list->footer("Example:\n  sluice topic list --output=json");
  list->callback([=] {
    *run = [](const Session& session) {
      auto topics = session.OpenAdmin().ListTopics("projects/" + session.project);
      if (!topics.ok()) return Report(session, topics.status());
      nlohmann::ordered_json all = nlohmann::ordered_json::array();
      for (const v1::Topic& found : *topics) {
        session.json ? all.push_back(ToJson(found)) : fmt::print("{}\n", found.name());
      }
      if (session.json) fmt::print("{}\n", all.dump());
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace sluice::cli
