// sluice pub TOPIC [MESSAGE] [--json]
#include <iostream>
#include <mutex>
#include <optional>

#include "absl/strings/escaping.h"
#include "client/cli/commands/commands.h"
#include "client/cpp/publisher.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

struct PubFlags {
  std::string topic;
  std::string message;
  bool has_message = false;
  bool json_lines = false;
  bool quiet = false;
  std::vector<std::string> attributes;
  std::string ordering_key;
  uint32_t priority = 0;
  std::string delay;
  std::string ttl;
};

// From now on; nothing for empty text.
std::optional<absl::Time> TimeAfter(const std::string& flag, const std::string& span) {
  if (span.empty()) return std::nullopt;
  return absl::Now() + ParseDurationOrThrow(flag, span);
}

// {"data": "...", "data_base64": "...", "attributes": {...}, "ordering_key": "...", "priority": 0,
// "delay": "90s", "ttl": "1h"}
absl::StatusOr<client::Message> FromJsonLine(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object: " + line);
  client::Message message;
  try {
    for (const auto& [key, value] : json.items()) {
      if (key == "data") {
        message.data = value.get<std::string>();
      } else if (key == "data_base64") {
        if (!absl::Base64Unescape(value.get<std::string>(), &message.data)) {
          return absl::InvalidArgumentError("data_base64 is not base64: " + line);
        }
      } else if (key == "attributes") {
        for (const auto& [name, attribute] : value.items())
          message.attributes.emplace_back(name, attribute.get<std::string>());
      } else if (key == "ordering_key") {
        message.ordering_key = value.get<std::string>();
      } else if (key == "priority") {
        message.priority = value.get<uint32_t>();
      } else if (key == "delay") {
        message.deliver_at = TimeAfter("delay", value.get<std::string>());
      } else if (key == "ttl") {
        message.expire_at = TimeAfter("ttl", value.get<std::string>());
      } else {
        return absl::InvalidArgumentError("unknown field \"" + key + "\": " + line);
      }
    }
  } catch (const CLI::ValidationError& error) {
    return absl::InvalidArgumentError(std::string(error.what()) + ": " + line);
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(std::string(error.what()) + ": " + line);
  }
  return message;
}

// What was published so far; callbacks come from another thread.
class Outcome {
 public:
  Outcome(const Session& session, bool quiet) : session_(session), quiet_(quiet) {}

  void Done(const absl::StatusOr<uint64_t>& id) {
    std::lock_guard lock(mu_);
    if (!id.ok()) {
      ++failed_;
      if (first_error_.ok()) first_error_ = id.status();
      return;
    }
    ++published_;
    if (!quiet_) session_.json ? fmt::print("{{\"id\":\"{}\"}}\n", *id) : fmt::print("{}\n", *id);
  }
  int Finish(const absl::Status& read) {
    std::lock_guard lock(mu_);
    if (quiet_) {
      session_.json ? fmt::print("{{\"published\":{},\"failed\":{}}}\n", published_, failed_)
                    : fmt::print("published {} failed {}\n", published_, failed_);
    }
    if (!first_error_.ok()) return Report(session_, first_error_);
    return Report(session_, read);
  }
  uint64_t published() const {
    std::lock_guard lock(mu_);
    return published_;
  }

 private:
  const Session& session_;
  const bool quiet_;
  mutable std::mutex mu_;
  uint64_t published_ = 0;
  uint64_t failed_ = 0;
  absl::Status first_error_;
};

int Publish(const Session& session, const PubFlags& flags) {
  client::Publisher publisher(session.Connect(), session.TopicName(flags.topic),
                              {.deadline = session.timeout});
  Outcome outcome(session, flags.quiet);
  const auto done = [&outcome](const absl::StatusOr<uint64_t>& id) { outcome.Done(id); };
  client::Message base;
  base.ordering_key = flags.ordering_key;
  base.priority = flags.priority;
  base.deliver_at = TimeAfter("--delay", flags.delay);
  base.expire_at = TimeAfter("--ttl", flags.ttl);
  std::map<std::string, std::string> attributes;
  ParsePairs(flags.attributes, &attributes);
  base.attributes.assign(attributes.begin(), attributes.end());
  absl::Status read;
  if (flags.has_message) {
    base.data = flags.message;
    publisher.Publish(base, done);
  } else {
    Progress progress("publishing");
    uint64_t lines = 0;
    for (std::string line; read.ok() && std::getline(std::cin, line);) {
      client::Message message = base;
      message.data = line;
      if (flags.json_lines) {
        auto parsed = FromJsonLine(line);
        read = parsed.status();
        if (!parsed.ok()) break;
        message = *std::move(parsed);
      }
      publisher.Publish(message, done);
      progress.Show(0, fmt::format("{} read, {} stored", ++lines, outcome.published()));
    }
  }
  const absl::Status closed = publisher.Close(session.timeout);
  return outcome.Finish(read.ok() ? closed : read);
}

}  // namespace

void AddPubCommand(CLI::App& app, Run* run) {
  auto flags = std::make_shared<PubFlags>();
  CLI::App* pub = app.add_subcommand("pub", "Publish an argument, or each line of standard input");
  pub->add_option("topic", flags->topic, "Short or full name")->required();
  CLI::Option* message =
      pub->add_option("message", flags->message, "The message; standard input when absent or -");
  pub->add_option("--attribute,-a", flags->attributes, "KEY=VALUE; may be repeated");
  pub->add_option("--ordering-key", flags->ordering_key, "At most 1024 bytes");
  pub->add_option("--priority", flags->priority, "0 to 9");
  pub->add_option("--delay", flags->delay, "Deliver no earlier than this long from now: 90s, 2h");
  pub->add_option("--ttl", flags->ttl, "Not to be delivered after, counted from now");
  pub->add_flag(
      "--json", flags->json_lines,
      "Lines are JSON: data or data_base64, attributes, ordering_key, priority, delay, ttl");
  pub->add_flag("--quiet,-q", flags->quiet, "Say how many were published, not each id");
  pub->footer(
      "Examples:\n  sluice pub orders 'hello' -a colour=red\n  seq 1000 | sluice pub orders "
      "--quiet");
  pub->callback([=] {
    flags->has_message = message->count() > 0 && flags->message != "-";
    *run = [=](const Session& session) { return Publish(session, *flags); };
  });
}

}  // namespace sluice::cli
