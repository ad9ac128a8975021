#include "server/http/exposition.h"

#include <dirent.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include "core/base/version.h"
#include "server/http/detail.h"
#include "server/http/families.h"
#include "server/tracing/tracer.h"

namespace sluice::server {
namespace {

using prometheus::MetricFamily;
using Label = Families::Label;

void AddEngine(const EngineMetrics& m, Families* out) {
  out->Counter("sluice_published_messages_total", "Messages stored.",
               ValueOf(m.published_messages));
  out->Counter("sluice_published_bytes_total", "Bytes of the batch records stored.",
               ValueOf(m.published_bytes));
  out->Counter("sluice_published_batches_total", "Batches stored.", ValueOf(m.published_batches));
  out->Counter("sluice_repeated_batches_total", "Duplicate batches deduplicated.",
               ValueOf(m.repeated_batches));
  out->Counter("sluice_delivered_messages_total",
               "Messages handed to consumers, repeated deliveries included.",
               ValueOf(m.delivered_messages));
  out->Counter("sluice_delivered_bytes_total", "Bytes of the messages handed to consumers.",
               ValueOf(m.delivered_bytes));
  out->Counter("sluice_redelivered_messages_total", "Deliveries after the first of a message.",
               ValueOf(m.redelivered_messages));
  out->Counter("sluice_acked_messages_total", "Deliveries acknowledged in time.",
               ValueOf(m.acked_messages));
  out->Counter("sluice_nacked_messages_total", "Deliveries given back by consumers.",
               ValueOf(m.nacked_messages));
  out->Counter("sluice_expired_leases_total", "Deliveries whose ack deadline passed.",
               ValueOf(m.expired_leases));
  out->Counter("sluice_expired_messages_total", "Messages whose time to be delivered had passed.",
               ValueOf(m.expired_messages));
  out->Counter("sluice_filtered_messages_total",
               "Messages that subscriptions passed over because of their filter.",
               ValueOf(m.filtered_messages));
  out->Counter("sluice_held_full_total",
               "Times that a subscription came to hold back as many messages as it may, so that "
               "newer ones wait.",
               ValueOf(m.held_full));
  out->Counter("sluice_skipped_damaged_messages_total",
               "Messages damaged on the disk that subscriptions skipped as they are set to.",
               ValueOf(m.skipped_damaged_messages));
  out->Counter("sluice_dead_lettered_messages_total", "Messages copied to a dead-letter topic.",
               ValueOf(m.dead_lettered_messages));
  out->Counter("sluice_dead_letter_failures_total",
               "Messages that could not be copied to a dead-letter topic for the moment.",
               ValueOf(m.dead_letter_failures));
  const std::string dropped = "sluice_dropped_messages_total";
  const std::string dropped_help = "Messages that went away unacknowledged, by reason.";
  out->Counter(dropped, dropped_help, {{"reason", "retention_time"}},
               ValueOf(m.dropped_by_retention_time));
  out->Counter(dropped, dropped_help, {{"reason", "retention_bytes"}},
               ValueOf(m.dropped_by_retention_bytes));
  out->Counter(dropped, dropped_help, {{"reason", "topic_deleted"}},
               ValueOf(m.dropped_by_topic_deletion));
  out->Counter("sluice_expired_subscriptions_total",
               "Subscriptions deleted because they were not used for their time.",
               ValueOf(m.expired_subscriptions));
  for (int i = 0; i < kReasonCount; ++i) {
    out->Counter("sluice_refused_requests_total", "Requests and batches refused, by reason.",
                 {{"reason", std::string(ReasonName(static_cast<Reason>(i)))}},
                 ValueOf(m.refused[static_cast<size_t>(i)]));
  }
  out->Distribution("sluice_publish_duration_seconds",
                    "From acceptance of a batch until it is durable.", m.publish_seconds);
  out->Distribution("sluice_delivery_latency_seconds",
                    "From publish time to the first delivery of a message.", m.delivery_seconds);
  out->Distribution("sluice_batch_messages", "Messages per published batch.", m.batch_messages);
}

void AddBreakers(const EngineMetrics& m, const BreakerMetrics& push, BreakerState store,
                 Families* out) {
  constexpr std::string_view kKinds[] = {"store", "delivery", "push"};
  const BreakerMetrics* breakers[] = {&m.store_breaker, &m.delivery_breakers, &push};
  out->Gauge("sluice_store_breaker_state",
             "The store's circuit breaker: 0 closed, 1 open, 2 half-open.",
             static_cast<double>(store));
  out->Gauge("sluice_delivery_breakers_open",
             "Subscriptions whose circuit breaker is open or half-open.",
             ValueOf(m.delivery_breakers.not_closed));
  for (size_t kind = 0; kind < std::size(kKinds); ++kind) {
    for (int state = 0; state < kBreakerStateCount; ++state) {
      out->Counter("sluice_breaker_changes_total",
                   "Changes of circuit breakers, by the state they changed to.",
                   {{"kind", std::string(kKinds[kind])},
                    {"to", std::string(ToString(static_cast<BreakerState>(state)))}},
                   ValueOf(breakers[kind]->changes[static_cast<size_t>(state)]));
    }
  }
  for (size_t kind = 0; kind < std::size(kKinds); ++kind) {
    out->Counter("sluice_breaker_rejections_total",
                 "Publishes refused, and times that a delivery or a push was held back, by circuit "
                 "breakers.",
                 {{"kind", std::string(kKinds[kind])}}, ValueOf(breakers[kind]->rejections));
  }
}

void AddStore(const StoreMetrics& m, const BackendStats& stats, std::string_view durability,
              Families* out) {
  out->Counter("sluice_store_commits_total", "Group commits.", ValueOf(m.commits));
  out->Counter("sluice_store_appended_bytes_total", "Bytes written to the journal.",
               ValueOf(m.appended_bytes));
  out->Counter("sluice_store_read_bytes_total", "Bytes read from the journal.",
               ValueOf(m.read_bytes));
  out->Counter("sluice_store_relocated_bytes_total",
               "Bytes appended again to give up mostly dead segments.", ValueOf(m.relocated_bytes));
  out->Counter("sluice_store_deleted_segments_total", "Journal segments deleted.",
               ValueOf(m.segments_deleted));
  out->Counter("sluice_store_write_errors_total", "Failed writes and syncs.",
               ValueOf(m.write_errors));
  out->Counter("sluice_store_read_errors_total",
               "Failed reads; damaged records are not among them.", ValueOf(m.read_errors));
  out->Counter("sluice_store_checkpoints_total", "Checkpoints made, and those that failed.",
               {{"result", "made"}}, ValueOf(m.checkpoints_made));
  out->Counter("sluice_store_checkpoints_total", "Checkpoints made, and those that failed.",
               {{"result", "failed"}}, ValueOf(m.checkpoints_failed));
  out->Distribution("sluice_store_commit_duration_seconds",
                    "Time of a group commit, its sync included.", m.commit_seconds);
  out->Distribution("sluice_store_fsync_duration_seconds", "Time of an fdatasync.",
                    m.fsync_seconds);
  out->Distribution("sluice_store_commit_batches", "Batches per group commit.", m.commit_batches);
  out->Gauge("sluice_store_disk_bytes", "Bytes of the journal on the disk.",
             static_cast<double>(stats.disk_bytes));
  out->Gauge("sluice_store_disk_free_bytes", "Bytes free on the disk of the store.",
             static_cast<double>(stats.disk_free_bytes));
  out->Gauge("sluice_store_writable", "1 while the store takes messages.", stats.writable ? 1 : 0);
  out->Gauge("sluice_store_damaged_places",
             "Places of the journal that could not be read, on opening or since; each counts once.",
             static_cast<double>(stats.damaged_stretches));
  out->Counter("sluice_backups_total", "Backups made, and those that failed.", {{"result", "made"}},
               ValueOf(m.backups_made));
  out->Counter("sluice_backups_total", "Backups made, and those that failed.",
               {{"result", "failed"}}, ValueOf(m.backups_failed));
  out->Gauge("sluice_backup_last_timestamp_seconds",
             "When the newest backup was made; 0 when there is none.", ValueOf(m.last_backup_time));
  for (const char* mode : {"memory", "os", "fsync"}) {
    out->Gauge("sluice_durability_info", "1 for what an acknowledged message survives.",
               {{"durability", mode}}, durability == mode ? 1 : 0);
  }
}

void AddSubscriptions(Engine& engine, Families* out) {
  std::vector<SubscriptionRow> rows;
  SubscriptionStats sum;
  const int64_t now_us = absl::ToUnixMicros(absl::Now());
  int64_t oldest_us = now_us;
  for (const auto& subscription : engine.ListSubscriptions("", "", SIZE_MAX)) {
    const SubscriptionStats stats = subscription->stats();
    sum.backlog_messages += stats.backlog_messages;
    sum.backlog_bytes += stats.backlog_bytes;
    sum.leased_messages += stats.leased_messages;
    oldest_us = std::min(oldest_us, stats.oldest_unacked_publish_time_us.value_or(now_us));
    if (rows.size() < Exposition::kMaxSeriesPerKind) {
      rows.push_back({subscription->config().name.full(), stats});
    }
  }
  out->Gauge("sluice_backlog_messages", "Messages not acknowledged, of all subscriptions.",
             static_cast<double>(sum.backlog_messages));
  out->Gauge("sluice_backlog_bytes", "Bytes not acknowledged, of all subscriptions (estimated).",
             static_cast<double>(sum.backlog_bytes));
  out->Gauge("sluice_leased_messages", "Messages delivered and not settled, of all subscriptions.",
             static_cast<double>(sum.leased_messages));
  out->Gauge("sluice_oldest_unacked_age_seconds",
             "Age of the oldest message not acknowledged by some subscription.",
             static_cast<double>(now_us - oldest_us) / 1e6);
  AddBacklogs(rows, now_us, out);
}

void AddAdmission(const AdmissionMetrics& m, Families* out) {
  static constexpr const char* kScopes[] = {"server", "project", "topic", "identity"};
  static constexpr const char* kLimits[] = {"batches", "bytes", "messages_per_second",
                                            "bytes_per_second"};
  // An identity has quotas, which are rates.
  const auto exists = [](size_t scope, size_t limit) {
    return static_cast<AdmissionScope>(scope) != AdmissionScope::kIdentity ||
           static_cast<AdmissionLimit>(limit) >= AdmissionLimit::kMessageRate;
  };
  const auto each = [&](const auto& value) {
    for (size_t scope = 0; scope < kAdmissionScopes; ++scope) {
      for (size_t limit = 0; limit < kAdmissionLimits; ++limit) {
        if (exists(scope, limit))
          value(scope, limit,
                std::vector<Label>{{"scope", kScopes[scope]}, {"limit", kLimits[limit]}});
      }
    }
  };
  out->Counter("sluice_admission_admitted_total", "Batches let in to be published.",
               ValueOf(m.admitted));
  each([&](size_t scope, size_t limit, const auto& labels) {
    out->Counter("sluice_admission_waited_total",
                 "Batches that had to wait, by the limit in their way.", labels,
                 ValueOf(m.waited[scope][limit]));
  });
  each([&](size_t scope, size_t limit, const auto& labels) {
    out->Counter("sluice_admission_refused_total", "Batches refused, by the limit in their way.",
                 labels, ValueOf(m.refused[scope][limit]));
  });
  each([&](size_t scope, size_t limit, const auto& labels) {
    out->Gauge("sluice_admission_waiting", "Batches that wait, by the limit in their way.", labels,
               ValueOf(m.waiting[scope][limit]));
  });
  out->Counter("sluice_admission_queue_full_total", "Batches refused since too many waited.",
               ValueOf(m.refused_queue_full));
}

void AddPush(const PushMetrics& m, Families* out) {
  const std::string name = "sluice_push_requests_total";
  const std::string help = "Push requests ended, by what came of them.";
  out->Counter(name, help, {{"result", "acked"}}, ValueOf(m.acked));
  out->Counter(name, help, {{"result", "refused"}}, ValueOf(m.refused));
  out->Counter(name, help, {{"result", "timed_out"}}, ValueOf(m.timed_out));
  out->Counter(name, help, {{"result", "unreachable"}}, ValueOf(m.unreachable));
  out->Gauge("sluice_push_requests_under_way", "Push requests that are not answered yet.",
             ValueOf(m.under_way));
  out->Distribution("sluice_push_request_duration_seconds",
                    "From the start of a push request to its end.", m.seconds);
}

void AddConfig(const ConfigMetrics& m, Families* out) {
  const std::string name = "sluice_config_reloads_total";
  const std::string help = "Times that the settings were read again, by what came of it.";
  out->Counter(name, help, {{"result", "ok"}}, ValueOf(m.reloads_ok));
  out->Counter(name, help, {{"result", "failed"}}, ValueOf(m.reloads_failed));
  out->Gauge("sluice_config_last_reload_success_timestamp_seconds",
             "When the settings were last read without a mistake, at the start or since, in "
             "seconds since 1970.",
             ValueOf(m.last_success_ms) / 1e3);
}

void AddTracing(const TraceMetrics& m, Families* out) {
  out->Counter("sluice_trace_spans_exported_total", "Spans that the trace collector took.",
               ValueOf(m.exported));
  const std::string name = "sluice_trace_spans_dropped_total";
  const std::string help = "Spans that are lost, by reason.";
  out->Counter(name, help, {{"reason", "queue_full"}}, ValueOf(m.dropped_queue_full));
  out->Counter(name, help, {{"reason", "unreachable"}}, ValueOf(m.dropped_unreachable));
  out->Counter(name, help, {{"reason", "rejected"}}, ValueOf(m.dropped_rejected));
  out->Counter(name, help, {{"reason", "shutdown"}}, ValueOf(m.dropped_shutdown));
  out->Counter("sluice_trace_export_failures_total", "Calls to the trace collector that failed.",
               ValueOf(m.export_failures));
  out->Gauge("sluice_trace_queued_spans", "Spans that wait to be sent.", ValueOf(m.queued));
}

void AddMemory(const MemoryLedger& memory, Families* out) {
  out->Gauge("sluice_memory_budget_bytes",
             "What the parts that are counted may take together; 0 for no bound.",
             static_cast<double>(memory.budget()));
  const std::string name = "sluice_memory_bytes";
  const std::string help = "Bytes held in memory, by part.";
  const auto part = [&](const char* label, MemoryPart of) {
    out->Gauge(name, help, {{"part", label}}, static_cast<double>(memory.used(of)));
  };
  part("publishes", MemoryPart::kPublishes);
  part("tail_cache", MemoryPart::kTailCache);
  part("outgoing", MemoryPart::kOutgoing);
}

void AddRpcs(const RpcMetrics& rpcs, Families* out) {
  const auto each = [&](const std::string& name, const std::string& help, auto value) {
    for (size_t i = 0; i < kRpcCount; ++i) {
      const auto rpc = static_cast<Rpc>(i);
      const RpcEntry& entry = EntryOf(rpc);
      value(name, help,
            std::vector<Label>{{"grpc_service", std::string(entry.service())},
                               {"grpc_method", std::string(entry.method())},
                               {"grpc_type", std::string(entry.type)}},
            rpcs.of(rpc));
    }
  };
  each("grpc_server_started_total", "Calls begun.",
       [&](const auto& name, const auto& help, auto labels, const auto& c) {
         out->Counter(name, help, labels, ValueOf(c.started));
       });
  each("grpc_server_handled_total", "Calls ended, by code.",
       [&](const auto& name, const auto& help, auto labels, const auto& c) {
         static constexpr std::array<const char*, RpcCounters::kCodes> kCodes = {
             "OK",
             "Canceled",
             "Unknown",
             "InvalidArgument",
             "DeadlineExceeded",
             "NotFound",
             "AlreadyExists",
             "PermissionDenied",
             "ResourceExhausted",
             "FailedPrecondition",
             "Aborted",
             "OutOfRange",
             "Unimplemented",
             "Internal",
             "Unavailable",
             "DataLoss",
             "Unauthenticated"};
         for (size_t code = 0; code < kCodes.size(); ++code) {
           // A series for each code that was seen, and for OK always.
           if (code != 0 && c.handled[code].value() == 0) continue;
           auto with_code = labels;
           with_code.emplace_back("grpc_code", kCodes[code]);
           out->Counter(name, help, with_code, ValueOf(c.handled[code]));
         }
       });
  each("grpc_server_msg_received_total", "Messages received.",
       [&](const auto& name, const auto& help, auto labels, const auto& c) {
         out->Counter(name, help, labels, ValueOf(c.received));
       });
  each("grpc_server_msg_sent_total", "Messages sent.",
       [&](const auto& name, const auto& help, auto labels, const auto& c) {
         out->Counter(name, help, labels, ValueOf(c.sent));
       });
}

// Numbers of /proc/self/status, such as VmRSS (kB) and Threads.
void AddSecurity(const SecurityMetrics& m, Families* out) {
  const std::string credentials = "sluice_credential_checks_total";
  const std::string help =
      "Credentials that were looked at, by what came of it; those that are known already are not "
      "looked at.";
  out->Counter(credentials, help, {{"result", "accepted"}}, ValueOf(m.accepted));
  out->Counter(credentials, help, {{"result", "rejected"}}, ValueOf(m.rejected));
  out->Counter(credentials, help, {{"result", "throttled"}}, ValueOf(m.throttled));
  out->Counter("sluice_denied_calls_total", "Calls and streams whose caller lacks a right.",
               ValueOf(m.denied));
  out->Counter("sluice_ended_streams_total", "Streams ended because their caller may not go on.",
               ValueOf(m.ended_streams));
  const std::pair<const char*, const ReloadMetrics&> reloads[] = {{"policy", m.policy},
                                                                  {"tokens", m.tokens},
                                                                  {"keys", m.keys},
                                                                  {"certificates", m.certificates}};
  for (const auto& [what, counts] : reloads) {
    const std::string name = "sluice_reloads_total";
    const std::string reload_help = "Reloads of policy, tokens, keys and certificates, by result.";
    out->Counter(name, reload_help, {{"what", what}, {"result", "ok"}}, ValueOf(counts.ok));
    out->Counter(name, reload_help, {{"what", what}, {"result", "failed"}}, ValueOf(counts.failed));
  }
  // An alert on a time that is near would fire where there is no TLS.
  if (m.certificate_expiry.value() > 0) {
    out->Gauge("sluice_tls_certificate_expiry_timestamp_seconds",
               "When the server's certificate expires, in seconds since 1970.",
               ValueOf(m.certificate_expiry));
  }
  out->Counter("sluice_audit_records_total", "Lines written to the audit log.",
               ValueOf(m.audit_records));
  out->Counter("sluice_audit_failures_total", "Lines that could not be written to the audit log.",
               ValueOf(m.audit_failures));
}

double ProcStatus(std::string_view key) {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    double value = 0;
    if (word == key && in >> value) return value;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

size_t OpenFiles() {
  size_t count = 0;
  if (DIR* dir = ::opendir("/proc/self/fd")) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own
    while (::readdir(dir) != nullptr) ++count;
    ::closedir(dir);
  }
  return count > 3 ? count - 3 : 0;
}

void AddProcess(absl::Time started, Families* out) {
  constexpr double kKilo = 1024;
  out->Gauge("process_resident_memory_bytes", "Resident memory.", ProcStatus("VmRSS:") * kKilo);
  out->Gauge("process_threads", "Threads.", ProcStatus("Threads:"));
  out->Gauge("process_open_fds", "Open file descriptors.", static_cast<double>(OpenFiles()));
  out->Counter("process_cpu_seconds_total", "User and system CPU time.",
               static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
  out->Gauge("process_start_time_seconds", "When the process began, in seconds since 1970.",
             absl::ToDoubleSeconds(started - absl::UnixEpoch()));
  out->Gauge("sluice_build_info", "1; the labels say what is running.", {{"version", kVersion}}, 1);
}

}  // namespace

std::vector<MetricFamily> Exposition::Collect() const {
  Families out;
  Engine& engine = context_.engine;
  const BackendStats stats = engine.backend_stats();
  AddEngine(context_.metrics.engine, &out);
  AddBreakers(context_.metrics.engine, context_.metrics.push.breakers, engine.store_breaker().state,
              &out);
  AddStore(context_.metrics.store, stats, engine.durability(), &out);
  out.Gauge("sluice_publish_available",
            "1 while messages are taken: the store is writable and its circuit breaker not open.",
            stats.writable && engine.store_breaker().state != BreakerState::kOpen ? 1 : 0);
  AddSubscriptions(engine, &out);
  out.Gauge("sluice_topics", "Topics.", static_cast<double>(engine.topic_count()));
  out.Gauge("sluice_subscriptions", "Subscriptions.",
            static_cast<double>(engine.subscription_count()));
  out.Gauge("sluice_consumers", "Consumers attached to subscriptions.",
            ValueOf(context_.metrics.engine.consumers));
  out.Gauge("sluice_streams", "Open streams by kind.", {{"kind", "publish"}},
            ValueOf(context_.rpcs.publish_streams));
  out.Gauge("sluice_streams", "Open streams by kind.", {{"kind", "subscribe"}},
            ValueOf(context_.rpcs.subscribe_streams));
  AddMemory(engine.memory(), &out);
  out.Gauge("sluice_memory_bytes", "Bytes held in memory, by part.", {{"part", "store"}},
            static_cast<double>(stats.memory_bytes));
  out.Gauge("sluice_memory_bytes", "Bytes held in memory, by part.", {{"part", "heap"}},
            static_cast<double>(::mallinfo2().uordblks));
  AddAdmission(context_.metrics.admission, &out);
  AddPush(context_.metrics.push, &out);
  if (context_.tracer != nullptr) AddTracing(context_.tracer->metrics(), &out);
  AddRpcs(context_.rpcs, &out);
  AddSecurity(context_.security, &out);
  AddConfig(context_.config, &out);
  AddProcess(started_, &out);
  return out.Take();
}

}  // namespace sluice::server
