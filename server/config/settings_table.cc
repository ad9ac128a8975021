// The table of settings. A new one is a line here and a field in Options; then `sluiced
// --print-config-reference` writes docs/configuration.md anew.
#include "server/config/settings.h"

namespace sluice::server {

void Settings::Declare() {
  constexpr int64_t kMost = 1'000'000'000;
  constexpr SettingTraits kHot = {.hot = true};
  Options& o = options_;
  Add("listen", Address(o.listen), "Address for gRPC; port 0 takes any free one");
  Add("http", Address(o.http), "Address for /metrics, /healthz, /readyz");
  Add("probe", Address(o.probe, Empty::kAllowed),
      "Address for grpc.health.v1 alone, in plain text, for probes that cannot use TLS; off when "
      "empty");
  Add("insecure", Switch(o.insecure),
      "Allow plain text on addresses that other machines can reach");
  Add("store", OneOf(o.store, {"local", "memory"}),
      "Store for messages: local (a directory) or memory (lost when the process ends)");
  Add("data_dir", Text(o.data_dir), "Directory of the local store");
  Add("backup_dir", Text(o.backup_dir),
      "Directory for backups made by `sluice admin checkpoint`; backups are off when empty");
  Add("durability", OneOf(o.durability, {"fsync", "os"}),
      "fsync: an acknowledged message survives a power loss; os: it survives a crash of the "
      "process");
  Add("shutdown_timeout", Duration(o.shutdown_timeout, absl::Milliseconds(1), absl::Hours(1)),
      "Time limit for a graceful shutdown after SIGTERM");
  Add("memory_budget", Size(o.memory_budget_bytes),
      "Memory limit for batches being written, recent batches and data waiting to be sent; 0 for "
      "no limit");
  Add("publish_limit", PublishLimits(o.publish),
      "Limits on publishing for the server, each project or each topic, such as "
      "topic:batches=64,bytes=16MiB,messages/s=10000,bytes/s=20MiB,wait=1s",
      kHot);
  Add("max_topics", Count(o.max_topics, 1, kMost), "Maximum number of topics");
  Add("max_subscriptions", Count(o.max_subscriptions, 1, kMost), "Maximum number of subscriptions");
  Add("max_leased_messages", Count(o.leases.server, 1, kMost),
      "Maximum number of messages delivered and not yet acknowledged; further messages wait");
  Add("max_leased_messages_per_subscription", Count(o.leases.subscription, 1, kMost),
      "The same for one subscription");
  Add("max_publish_streams", Count(o.max_publish_streams, 1, kMost),
      "Maximum number of open publish streams");
  Add("max_subscribe_streams", Count(o.max_subscribe_streams, 1, kMost),
      "Maximum number of open subscribe streams");
  Add("max_streams", Count(o.max_streams, 1, kMost),
      "Maximum number of open streams of both kinds");

  Add("tls.cert", InputFile(o.tls.cert),
      "Certificate chain of the server (PEM) for gRPC and HTTP; reloaded when it changes");
  Add("tls.key", InputFile(o.tls.key),
      "Private key of the certificate (PEM, without a passphrase)");
  Add("tls.client_ca", InputFile(o.tls.client_ca),
      "CA certificates (PEM) for verifying certificates of gRPC clients");
  Add("tls.client_auth", OneOf(o.tls.client_auth, {"none", "optional", "require"}),
      "Whether gRPC clients need a certificate");

  Add("auth.policy", InputFile(o.auth.policy_file),
      "Access policy and quotas (docs/operations.md, Authorization); reloaded when it changes");
  Add("auth.tokens", InputFile(o.auth.tokens_file),
      "API tokens, stored as hashes; reloaded when it changes");
  Add("auth.certificates", Switch(o.auth.certificates),
      "Identify clients by their certificate: cert:SPIFFE-URI or cert:SUBJECT");
  Add("auth.jwt_keys", Text(o.auth.jwt_keys),
      "JSON Web Key Set for verifying JWTs: a file or an https URL");
  Add("auth.jwt_issuer", Text(o.auth.jwt_issuer),
      "Required issuer of JWTs; mandatory with auth.jwt_keys");
  Add("auth.jwt_audience", Text(o.auth.jwt_audience),
      "Required audience of JWTs; mandatory with auth.jwt_keys");
  Add("auth.jwt_identity", Text(o.auth.jwt_identity), "JWT claim that identifies the caller");
  Add("auth.jwt_clock_skew",
      Duration(o.auth.jwt_clock_skew, absl::Milliseconds(1), absl::Minutes(10)),
      "Allowed clock skew when JWTs are verified");

  Add("audit.file", Text(o.audit.file), "Audit log: a path or stdout; off when empty");
  Add("audit.max_bytes", Size(o.audit.max_bytes), "Size at which the audit file is rotated");
  Add("audit.files", Count(o.audit.files, 0, 1000), "Number of rotated audit files to keep");
  Add("audit.required", Switch(o.audit.required),
      "Refuse changes while the audit log cannot be written");

  Add("log.format", OneOf(o.log_format, {"text", "json"}), "Format of log lines");
  Add("log.level", Levels(o.log_levels),
      "Minimum log level (debug, info, warning or error), also for single parts: server, store, "
      "push, auth, tls, audit, config, http, trace, grpc",
      kHot);

  Add("trace.endpoint", Endpoint(o.trace.endpoint),
      "OTLP/gRPC collector for traces (https:// for TLS); off when empty");
  Add("trace.ca", InputFile(o.trace.ca_file),
      "CA certificates (PEM) for verifying the collector, instead of the system's");
  Add("trace.headers", InputFile(o.trace.headers_file),
      "File of headers for every export, one `name: value` per line, such as an API key; https "
      "only");
  Add("trace.sample", Fraction(o.trace.sample, 0, 1),
      "Fraction of requests without a trace context that start a trace");
  Add("trace.queue", Count(o.trace.queue, 1, 1'000'000),
      "Maximum number of spans waiting to be sent; further spans are dropped");

  Add("push.max_requests", Count(o.push.max_requests, 1, 100'000),
      "Maximum number of concurrent push requests over all subscriptions");
  Add("push.ca", InputFile(o.push.http.ca_file),
      "CA certificates (PEM) for verifying https push endpoints, instead of the system's");
  Add("push.refuse_private", SwitchOff(o.push.http.private_addresses),
      "Do not push to loopback, private and other non-public addresses");
}

}  // namespace sluice::server
