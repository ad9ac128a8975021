// The table of settings. A new one is a line here and a field in Options; then `sluiced --print-config-reference` writes
// docs/configuration.md anew.
#include "server/config/settings.h"

namespace sluice::server {

void Settings::Declare() {
  constexpr int64_t kMost = 1'000'000'000;
  constexpr SettingTraits kHot = {.hot = true};
  Options& o = options_;
  Add("listen", Address(o.listen), "Address for gRPC; port 0 takes any free one");
  Add("http", Address(o.http), "Address for /metrics, /healthz, /readyz");
  Add("store", OneOf(o.store, {"local", "memory"}),
      "Where messages are kept: local (a folder) or memory (gone with the process)");
  Add("data_dir", Text(o.data_dir), "Folder of the local store");
  Add("durability", OneOf(o.durability, {"fsync", "os"}),
      "What an acknowledged message survives: fsync (the machine) or os (the process)");
  Add("shutdown_timeout", Duration(o.shutdown_timeout, absl::Milliseconds(1), absl::Hours(1)),
      "Time for a graceful end after SIGTERM");
  Add("memory_budget", Size(o.memory_budget_bytes),
      "Memory for batches on their way, recent batches and what waits to be sent; 0 for no bound");
  Add("publish_limit", PublishLimits(o.publish),
      "Limits on publishing, of the server, of each project or of each topic, such as "
      "topic:batches=64,bytes=16MiB,messages/s=10000,bytes/s=20MiB,wait=1s",
      kHot);
  Add("max_topics", Count(o.max_topics, 1, kMost), "The most topics there may be");
  Add("max_subscriptions", Count(o.max_subscriptions, 1, kMost), "The most subscriptions there may be");
  Add("max_leased_messages", Count(o.leases.server, 1, kMost), "The most messages delivered and not settled; more wait");
  Add("max_leased_messages_per_subscription", Count(o.leases.subscription, 1, kMost), "The same, of one subscription");
  Add("max_publish_streams", Count(o.max_publish_streams, 1, kMost), "The most open publish streams");
  Add("max_subscribe_streams", Count(o.max_subscribe_streams, 1, kMost), "The most open subscribe streams");
  Add("max_streams", Count(o.max_streams, 1, kMost), "The most open streams of both kinds");

  Add("log.format", OneOf(o.log_format, {"text", "json"}), "How a line of the log is written");
  Add("log.level", Levels(o.log_levels),
      "What is written to the log: debug, info, warning or error and what is worse, and the same for its parts: server, "
      "store, "
      "push, auth, tls, audit, config, http, trace, grpc",
      kHot);

  Add("push.max_requests", Count(o.push.max_requests, 1, 100'000),
      "The most push requests under way, of all subscriptions together");
  Add("push.ca", InputFile(o.push.http.ca_file),
      "File of the authorities (PEM) that https push endpoints are checked against, instead of the system's");
  Add("push.refuse_private", SwitchOff(o.push.http.private_addresses),
      "Do not push to this machine, its network, or other addresses that are none of the public internet");
}

}  // namespace sluice::server
