#include "server/config/flags.h"

#include <string>

#include "CLI/CLI.hpp"
#include "core/base/version.h"
#include "server/config/publish_limits.h"

namespace sluice::server {
namespace {

constexpr int kUsageError = 2;

// "25s", "1500ms", as Go and absl write durations.
std::string CheckDuration(const std::string& text) {
  absl::Duration parsed;
  if (absl::ParseDuration(text, &parsed) && parsed > absl::ZeroDuration() && parsed <= absl::Hours(1)) return "";
  return "must be a duration from 1ms to 1h, such as 25s; it is " + text;
}

std::string CheckStore(const std::string& text) {
  if (text == "local" || text == "memory") return "";
  if (text == "jetstream") return "jetstream is not built into this server; there are local and memory";
  return "must be local or memory; it is " + text;
}

// A negative number has become a very large one by now.
std::string CheckBytes(const std::string& text) {
  constexpr size_t kMostDigits = 15;
  if (text.size() <= kMostDigits && text.find_first_not_of("0123456789") == std::string::npos) return "";
  return "must be a size under 1 PB, such as 1GiB";
}

std::string CheckAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  const std::string port = colon == std::string::npos ? "" : text.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
  if (colon != 0 && digits && std::stoi(port) <= 65535) return "";
  return "must be HOST:PORT with a port from 0 to 65535; it is " + text;
}

void AddLimits(CLI::App& app, Options& options) {
  app.add_option("--memory-budget", options.memory_budget_bytes,
                 "Memory for batches on their way, recent batches and what waits to be sent, such as 1GiB; 0 for no bound")
      ->transform(CLI::AsSizeValue(false))
      ->check(CheckBytes)
      ->capture_default_str();
  app.add_option("--publish-limit", "Limits on publishing, of the server, of each project or of each topic; may be repeated: "
                                    "topic:batches=64,bytes=16MiB,messages/s=10000,bytes/s=20MiB,wait=1s")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("SCOPE:LIMIT=N,...")
      ->each([&options](const std::string& text) {
        const std::string wrong = ParsePublishLimit(text, &options.publish);
        if (!wrong.empty()) throw CLI::ValidationError("--publish-limit", wrong);
      });
  const auto count = [&app](const char* flag, auto& value, const char* help) {
    app.add_option(flag, value, help)->check(CLI::PositiveNumber)->capture_default_str();
  };
  count("--max-topics", options.max_topics, "The most topics there may be");
  count("--max-subscriptions", options.max_subscriptions, "The most subscriptions there may be");
  count("--max-leased-messages", options.leases.server, "The most messages delivered and not settled; more wait");
  count("--max-leased-messages-per-subscription", options.leases.subscription, "The same, of one subscription");
  count("--max-publish-streams", options.max_publish_streams, "The most open publish streams");
  count("--max-subscribe-streams", options.max_subscribe_streams, "The most open subscribe streams");
  count("--max-streams", options.max_streams, "The most open streams of both kinds");
}

void AddPush(CLI::App& app, PushOptions& push) {
  app.add_option("--push-max-requests", push.max_requests, "The most push requests under way, of all subscriptions together")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--push-ca", push.http.ca_file, "File of the authorities (PEM) that https push endpoints are checked against, "
                                                 "instead of the system's")
      ->check(CLI::ExistingFile);
  app.add_flag("--push-refuse-private{false}", push.http.private_addresses,
               "Do not push to this machine, its network, or other addresses that are none of the public internet");
}

}  // namespace

ParsedFlags ParseFlags(int argc, const char* const* argv) {
  ParsedFlags parsed;
  Options& options = parsed.options;
  CLI::App app("Durable publish/subscribe over gRPC.", "sluiced");
  app.footer("Example:\n  sluiced --data-dir=/var/lib/sluice --listen=127.0.0.1:8085 --http=127.0.0.1:9095");
  app.set_version_flag("--version", std::string("sluiced ") + kVersion);
  app.add_option("--listen", options.listen, "Address for gRPC; port 0 takes any free one")
      ->check(CheckAddress)
      ->capture_default_str();
  app.add_option("--http", options.http, "Address for /metrics, /healthz, /readyz")
      ->check(CheckAddress)
      ->capture_default_str();
  std::string store = "local";
  app.add_option("--store", store, "Where messages are kept: local (a folder) or memory (gone with the process)")
      ->check(CheckStore)
      ->capture_default_str();
  app.add_option("--data-dir", options.data_dir, "Folder of the local store")->capture_default_str();
  app.add_option("--backup-dir", options.backup_dir, "Folder in which `sluice admin checkpoint` makes backups; none without it");
  app.add_option("--durability", options.durability,
                 "What an acknowledged message survives: fsync (the machine) or os (the process)")
      ->check(CLI::IsMember({"fsync", "os"}))
      ->capture_default_str();
  app.add_option("--config", options.config_file, "File (YAML) of topics and subscriptions to make where they are missing")
      ->check(CLI::ExistingFile);
  std::string log_format = "text";
  app.add_option("--log-format", log_format, "text or json")->check(CLI::IsMember({"text", "json"}))->capture_default_str();
  AddLimits(app, options);
  AddPush(app, options.push);
  std::string shutdown_timeout = "25s";
  app.add_option("--shutdown-timeout", shutdown_timeout, "Time for a graceful end after SIGTERM")
      ->check(CheckDuration)
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = app.exit(error) == 0 ? 0 : kUsageError;
    return parsed;
  }
  options.store = store == "memory" ? StoreKind::kMemory : StoreKind::kLocal;
  options.log_format = log_format == "json" ? LogFormat::kJson : LogFormat::kText;
  absl::ParseDuration(shutdown_timeout, &options.shutdown_timeout);
  return parsed;
}

}  // namespace sluice::server
