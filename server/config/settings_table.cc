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
      "Address for grpc.health.v1 alone, in plain text, for probes that cannot do TLS; none when "
      "empty");
  Add("insecure", Switch(o.insecure), "Listen in plain text on addresses beyond this machine");
  Add("store", OneOf(o.store, {"local", "memory"}),
      "Where messages are kept: local (a folder) or memory (gone with the process)");
  Add("data_dir", Text(o.data_dir), "Folder of the local store");
  Add("backup_dir", Text(o.backup_dir),
      "Folder in which `sluice admin checkpoint` makes backups; none without it");
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
  Add("max_subscriptions", Count(o.max_subscriptions, 1, kMost),
      "The most subscriptions there may be");
  Add("max_leased_messages", Count(o.leases.server, 1, kMost),
      "The most messages delivered and not settled; more wait");
  Add("max_leased_messages_per_subscription", Count(o.leases.subscription, 1, kMost),
      "The same, of one subscription");
  Add("max_publish_streams", Count(o.max_publish_streams, 1, kMost),
      "The most open publish streams");
  Add("max_subscribe_streams", Count(o.max_subscribe_streams, 1, kMost),
      "The most open subscribe streams");
  Add("max_streams", Count(o.max_streams, 1, kMost), "The most open streams of both kinds");

  Add("tls.cert", InputFile(o.tls.cert),
      "The server's certificate (PEM), with those between it and the root: for gRPC and HTTP; read "
      "again when it changes");
  Add("tls.key", InputFile(o.tls.key), "Its private key (PEM, without a passphrase)");
  Add("tls.client_ca", InputFile(o.tls.client_ca),
      "The authorities (PEM) that certificates of gRPC's clients are checked against");
  Add("tls.client_auth", OneOf(o.tls.client_auth, {"none", "optional", "require"}),
      "Whether gRPC's clients need a certificate");

  Add("auth.policy", InputFile(o.auth.policy_file),
      "Who may do what, and how much (docs/operations.md, Who may do what); read again when it "
      "changes");
  Add("auth.tokens", InputFile(o.auth.tokens_file),
      "API tokens by their hashes; read again when it changes");
  Add("auth.certificates", Switch(o.auth.certificates),
      "A client's certificate says who it is: cert:SPIFFE-URI or cert:SUBJECT");
  Add("auth.jwt_keys", Text(o.auth.jwt_keys),
      "Keys of JWTs, a JSON Web Key Set: a file, or a URL with https");
  Add("auth.jwt_issuer", Text(o.auth.jwt_issuer), "Who issues them; required with keys");
  Add("auth.jwt_audience", Text(o.auth.jwt_audience), "Whom they are for; required with keys");
  Add("auth.jwt_identity", Text(o.auth.jwt_identity), "The claim that says who it is");
  Add("auth.jwt_clock_skew",
      Duration(o.auth.jwt_clock_skew, absl::Milliseconds(1), absl::Minutes(10)),
      "How far clocks may differ");

  Add("audit.file", Text(o.audit.file), "The audit log: a path, or stdout; none when empty");
  Add("audit.max_bytes", Size(o.audit.max_bytes),
      "A larger file is moved away, and a new one begun");
  Add("audit.files", Count(o.audit.files, 0, 1000), "Older files that are kept");
  Add("audit.required", Switch(o.audit.required),
      "Change nothing while the audit log cannot be written");

  Add("log.format", OneOf(o.log_format, {"text", "json"}), "How a line of the log is written");
  Add("log.level", Levels(o.log_levels),
      "What is written to the log: debug, info, warning or error and what is worse, and the same "
      "for its parts: server, "
      "store, "
      "push, auth, tls, audit, config, http, trace, grpc",
      kHot);

  Add("trace.endpoint", Endpoint(o.trace.endpoint),
      "Collector for traces (OTLP over gRPC, with https:// over TLS); none when empty");
  Add("trace.ca", InputFile(o.trace.ca_file),
      "File of the authorities (PEM) that its certificate is checked against, instead of the "
      "system's");
  Add("trace.headers", InputFile(o.trace.headers_file),
      "File of headers that it wants with every call, such as a key: a line name: value each; for "
      "https only");
  Add("trace.sample", Fraction(o.trace.sample, 0, 1),
      "Share of the requests without a trace that begin one");
  Add("trace.queue", Count(o.trace.queue, 1, 1'000'000),
      "Spans that wait to be sent; more are dropped");

  Add("push.max_requests", Count(o.push.max_requests, 1, 100'000),
      "The most push requests under way, of all subscriptions together");
  Add("push.ca", InputFile(o.push.http.ca_file),
      "File of the authorities (PEM) that https push endpoints are checked against, instead of the "
      "system's");
  Add("push.refuse_private", SwitchOff(o.push.http.private_addresses),
      "Do not push to this machine, its network, or other addresses that are none of the public "
      "internet");
}

}  // namespace sluice::server
