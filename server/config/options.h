// What a server can be told. config/settings.h has what they are called on the command line and in
// files; tests fill them in.
//
// Thread rule: a value type.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "core/flow/admission.h"
#include "core/flow/lease_quota.h"
#include "server/log/log.h"
#include "server/push/push_options.h"
#include "server/security/audit/audit_log.h"
#include "server/security/auth/auth_options.h"
#include "server/security/tls/certificates.h"
#include "server/tracing/trace_options.h"

namespace sluice {
class FileSystem;
}

namespace sluice::server {

enum class StoreKind { kLocal, kMemory };

struct Options {
  // HOST:PORT; port 0 for any free one.
  std::string listen = "127.0.0.1:8085";
  std::string http = "127.0.0.1:9095";
  // HOST:PORT for grpc.health.v1 alone, in plain text, for probes that cannot do TLS; none when
  // empty.
  std::string probe;
  // Plain text is for loopback addresses, unless it is meant so.
  bool insecure = false;
  TlsOptions tls;
  AuthOptions auth;
  AuditOptions audit;
  StoreKind store = StoreKind::kLocal;
  std::string data_dir = "sluice-data";
  // Below which backups are made; none when empty. For the local store.
  std::string backup_dir;
  // "fsync" or "os"; for the local store.
  std::string durability = "fsync";
  // Where they come from, with topics and subscriptions to make where they are missing
  // (config/startup_file.h); none when empty.
  std::string config_file;
  // For tests; the machine's own when null.
  FileSystem* files = nullptr;
  LogFormat log_format = LogFormat::kText;
  LogLevels log_levels;
  // For the whole shutdown; a fifth of it, 5 s at the most, is kept for the last flush.
  absl::Duration shutdown_timeout = absl::Seconds(25);
  // Open streams of all clients together, and on one connection.
  size_t max_streams = 100'000;
  size_t max_publish_streams = 100'000;
  size_t max_subscribe_streams = 100'000;
  int max_streams_per_connection = 10'000;
  size_t max_topics = 1'000'000;
  size_t max_subscriptions = 1'000'000;
  // Delivered and not settled, of all subscriptions together and of one: each takes up to 100
  // bytes.
  LeaseLimits leases = {.server = 10'000'000, .subscription = 1'000'000};
  // For batches on their way, the tail cache and what waits to be sent; 0 for no bound.
  size_t memory_budget_bytes = size_t{1} << 30;
  // Limits on publishing.
  AdmissionOptions publish;
  PushOptions push;
  TraceOptions trace;
};

}  // namespace sluice::server
