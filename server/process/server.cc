#include "server/process/server.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/storage/local/local_backend.h"
#include "core/storage/memory/memory_backend.h"
#include "fmt/format.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "server/log/log.h"
#include "server/process/self_check.h"
#include "server/process/startup_file.h"
#include "server/process/store_log.h"
#include "server/security/tls/exposure.h"
#include "server/security/tls/grpc_credentials.h"

namespace sluice::server {
namespace {

// A publish request of 10,000,000 bytes with the names and tags around it; the largest delivery is
// smaller than twice.
constexpr int kMaxReceiveBytes = 11'000'000;
constexpr int kMaxSendBytes = 22'000'000;
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kSecondMs = 1000;

// Once our own streams have ended, what is still open are short calls, and health watches that
// would never end.
constexpr absl::Duration kOtherCallsTimeout = absl::Seconds(2);
// A push request that is cut off comes again, so an endpoint that hangs need not be waited for.
constexpr absl::Duration kPushTimeout = absl::Seconds(5);
// The last spans are sent while the store is saved; a collector that hangs need not be waited for
// either.
constexpr absl::Duration kTraceTimeout = absl::Seconds(3);

// A call that comes in the moment in which gRPC shuts down is ended with CANCELLED, which clients
// do not try again. So calls are refused with UNAVAILABLE until none has come for a while, or it
// has been too long.
constexpr absl::Duration kQuiet = absl::Milliseconds(50);
constexpr absl::Duration kLongestUnrest = absl::Seconds(1);

// The host of HOST:PORT.
std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }

StreamLimits StreamLimitsOf(const Options& options) {
  return {options.max_publish_streams, options.max_subscribe_streams, options.max_streams};
}

EngineOptions EngineOptionsOf(const Options& options) {
  EngineOptions engine;
  engine.memory_budget_bytes = options.memory_budget_bytes;
  engine.max_topics = options.max_topics;
  engine.max_subscriptions = options.max_subscriptions;
  engine.leases = options.leases;
  return engine;
}

void SetLimits(grpc::ServerBuilder& builder, const Options& options) {
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.SetMaxSendMessageSize(kMaxSendBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  // Without this a second server on the same port would silently take half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Clients that ping every 20 s, with or without calls, are welcome; dead ones are noticed within
  // half a minute.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10 * kSecondMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20 * kSecondMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10 * kSecondMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Options options) {
  auto server = std::unique_ptr<Server>(new Server(std::move(options)));
  if (absl::Status status = server->CheckAddresses(); !status.ok()) return status;
  if (absl::Status status = server->OpenSecurity(); !status.ok()) return status;
  if (absl::Status status = server->OpenEngine(); !status.ok()) return status;
  server->access_->SetStoredPolicy([engine = server->engine_.get()](std::string_view resource) {
    return StoredPolicyOf(*engine, resource);
  });
  server->context_ = std::make_unique<ServiceContext>(
      *server->engine_, StreamLimitsOf(server->options_), server->options_.publish,
      *server->access_, server->security_metrics_);
  server->context_->admission.SetQuotas(server->access_->Quotas());
  if (absl::Status status = server->StartTracing(); !status.ok()) return status;
  FileSystem* const files = server->options_.files;
  server->backups_ = std::make_unique<Backups>(server->local_, server->options_.backup_dir,
                                               files == nullptr ? PosixFileSystem() : *files,
                                               server->metrics_.store);
  server->context_->backups = server->backups_.get();
  if (absl::Status status = server->StartPush(); !status.ok()) return status;
  if (absl::Status status = server->CreateFromFile(); !status.ok()) return status;
  if (absl::Status status = server->StartGrpc(); !status.ok()) return status;
  if (absl::Status status = server->StartProbe(); !status.ok()) return status;
  auto http =
      HttpServer::Start(server->options_.http, server->certificates_.get(), *server->context_);
  if (!http.ok()) return http.status();
  server->http_ = *std::move(http);
  server->StartReloader();
  server->SetAccepting(true);
  return server;
}

absl::Status Server::CheckAddresses() const {
  const bool tls = options_.tls.enabled();
  if (absl::Status status = CheckExposure("listen", options_.listen, tls, options_.insecure);
      !status.ok())
    return status;
  return CheckExposure("http", options_.http, tls, options_.insecure);
}

absl::Status Server::OpenSecurity() {
  auto audit = AuditLog::Open(options_.audit, clock_, security_metrics_);
  if (!audit.ok()) return audit.status();
  audit_ = *std::move(audit);
  auto access = Access::Create(options_.auth, clock_, *audit_, security_metrics_);
  if (!access.ok()) return access.status();
  access_ = *std::move(access);
  if (!options_.tls.enabled()) return absl::OkStatus();
  auto certificates = CertificateStore::Open(options_.tls, clock_.WallNow());
  if (!certificates.ok()) return certificates.status();
  certificates_ = *std::move(certificates);
  security_metrics_.certificate_expiry.Set(absl::ToUnixSeconds(certificates_->current()->expires));
  return absl::OkStatus();
}

absl::Status Server::StartTracing() {
  if (options_.trace.endpoint.empty()) return absl::OkStatus();
  auto collector = GrpcCollector::Open(options_.trace);
  if (!collector.ok()) return collector.status();
  tracer_ = std::make_unique<Tracer>(options_.trace, clock_, *std::move(collector));
  context_->tracer = tracer_.get();
  return absl::OkStatus();
}

absl::Status Server::ReloadPolicy() {
  absl::Status status = access_->ReloadPolicy();
  if (status.ok()) context_->admission.SetQuotas(access_->Quotas());
  return status;
}

void Server::StartReloader() {
  reloader_ = std::make_unique<Reloader>(*audit_);
  reloader_->Add({"policy",
                  {options_.auth.policy_file},
                  [this] { return ReloadPolicy(); },
                  &security_metrics_.policy});
  reloader_->Add({"tokens",
                  {options_.auth.tokens_file},
                  [this] { return access_->ReloadTokens(); },
                  &security_metrics_.tokens});
  reloader_->Add({"keys",
                  {options_.auth.jwt_keys},
                  [this] { return access_->ReloadKeys(); },
                  &security_metrics_.keys});
  reloader_->Add({"certificates",
                  {options_.tls.cert, options_.tls.key, options_.tls.client_ca},
                  [this] {
                    absl::Status status = certificates_->Reload(clock_.WallNow());
                    security_metrics_.certificate_expiry.Set(
                        absl::ToUnixSeconds(certificates_->current()->expires));
                    return status;
                  },
                  &security_metrics_.certificates,
                  LogPart::kTls});
  reloader_->Start([this] { EndStreamsThatMayNot(); });
}

void Server::Reload() {
  audit_->Reopen();
  reloader_->Now();
}

// Streams of whose rights nothing has changed are only asked whether their credentials still hold.
void Server::EndStreamsThatMayNot() {
  if (!access_->enabled()) return;
  const uint64_t generation = access_->generation();
  const bool changed = generation != std::exchange(checked_generation_, generation);
  const size_t ended = context_->sessions.EndIf([&](const StreamAccess& stream) {
    return changed || clock_.WallNow() >= stream.caller.identity->expires
               ? access_->CheckAgain(stream)
               : absl::OkStatus();
  });
  security_metrics_.ended_streams.Add(ended);
}

absl::Status Server::StartProbe() {
  if (options_.probe.empty()) return absl::OkStatus();
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(options_.probe, grpc::InsecureServerCredentials(), &probe_port_);
  probe_ = builder.BuildAndStart();
  if (probe_ == nullptr || probe_port_ == 0) {
    return Error(Reason::kAddressUnusable,
                 fmt::format("cannot listen on {}: is the port in use?", options_.probe),
                 {{"field", "probe"}, {"value", options_.probe}});
  }
  return absl::OkStatus();
}

void Server::StopProbe() {
  if (probe_ == nullptr) return;
  probe_->Shutdown(std::chrono::system_clock::now());
  probe_->Wait();
}

absl::Status Server::OpenEngine() {
  std::unique_ptr<Backend> backend;
  if (options_.store == StoreKind::kMemory) {
    backend = std::make_unique<MemoryBackend>(std::make_shared<MemoryStore>(), &clock_,
                                              AppendResults::kOwnThread);
  } else {
    LocalOptions local;
    local.data_dir = options_.data_dir;
    local.files = options_.files;
    local.on_event = [this](const StoreEvent& event) { OnStoreEvent(event); };
    local.durability = options_.durability == "os" ? Durability::kOs : Durability::kFsync;
    auto opened = LocalBackend::Open(std::move(local), clock_, metrics_.store);
    if (!opened.ok()) return opened.status();
    local_ = opened->get();
    backend = *std::move(opened);
  }
  EngineOptions engine_options = EngineOptionsOf(options_);
  engine_options.on_breaker = [this](const BreakerEvent& event) { OnBreaker(event); };
  engine_options.on_damage = [](const DamageEvent& event) {
    LogWarning(
        LogPart::kStore,
        event.skipped ? "a subscription skips damaged messages"
                      : "a subscription waits at damaged messages",
        {{"subscription", event.subscription}, {"error", std::string(event.error.message())}});
  };
  engine_options.on_held_full = [](const std::string& subscription) {
    LogWarning(LogPart::kServer,
               "a subscription holds back as many messages as it may; newer ones wait",
               {{"subscription", subscription}});
  };
  // Nothing changes before there is something to tell.
  engine_options.on_configured = [this](const std::shared_ptr<Subscription>& subscription) {
    push_->OnConfigured(subscription);
  };
  auto engine = Engine::Open(std::move(backend), clock_, metrics_, engine_options);
  if (!engine.ok()) return engine.status();
  engine_ = *std::move(engine);
  if (local_ != nullptr) {
    for (const std::string& warning : local_->warnings())
      LogWarning(LogPart::kStore, warning, {{"data_dir", options_.data_dir}});
  }
  if (const uint64_t damaged = engine_->backend_stats().damaged_stretches; damaged > 0) {
    LogWarning(
        LogPart::kStore,
        "parts of the journal cannot be read; consumers that need nothing else end with DATA_LOSS",
        {{"places", std::to_string(damaged)}, {"data_dir", options_.data_dir}});
  }
  return absl::OkStatus();
}

absl::Status Server::StartPush() {
  if (auto authorities = ReadAuthorities("push.ca", options_.push.http.ca_file); !authorities.ok())
    return authorities.status();
  context_->push_to_private = options_.push.http.private_addresses;
  PushOptions push = options_.push;
  push.on_breaker = [this](const BreakerEvent& event) { OnBreaker(event); };
  push.tracer = tracer_.get();
  push_ = std::make_unique<PushService>(*engine_, metrics_.push, std::move(push));
  push_->Start();
  return absl::OkStatus();
}

// Before anyone can connect: who finds the server finds what it was told to have.
absl::Status Server::CreateFromFile() {
  if (options_.config_file.empty()) return absl::OkStatus();
  auto file = ReadStartupFile(options_.config_file);
  if (!file.ok()) return file.status();
  if (file->topics.empty() && file->subscriptions.empty()) return absl::OkStatus();
  auto made = CreateMissing(*file, context_->push_to_private, *engine_);
  if (!made.ok()) return made.status();
  Log(LogPart::kConfig, "made what was missing",
      {{"file", options_.config_file},
       {"topics", std::to_string(made->topics)},
       {"subscriptions", std::to_string(made->subscriptions)}});
  return absl::OkStatus();
}

absl::Status Server::StartGrpc() {
  pubsub_ = std::make_unique<PubSubService>(*context_);
  admin_ = std::make_unique<AdminService>(*context_);
  publisher_ = std::make_unique<GooglePublisher>(*context_);
  subscriber_ = std::make_unique<GoogleSubscriber>(*context_);
  iam_ = std::make_unique<GoogleIam>(*context_);
  unknown_ = std::make_unique<UnknownMethods>(context_->rpcs.of(Rpc::kUnknown));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetLimits(builder, options_);
  credentials_ =
      certificates_ != nullptr ? TlsCredentials(*certificates_) : grpc::InsecureServerCredentials();
  builder.AddListeningPort(options_.listen, credentials_, &grpc_port_);
  builder.RegisterService(pubsub_.get());
  builder.RegisterService(admin_.get());
  builder.RegisterService(publisher_.get());
  builder.RegisterService(subscriber_.get());
  builder.RegisterService(iam_.get());
  builder.RegisterCallbackGenericService(unknown_.get());
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr || grpc_port_ == 0) {
    return Error(Reason::kAddressUnusable,
                 fmt::format("cannot listen on {}: is the port in use?", options_.listen),
                 {{"field", "--listen"}, {"value", options_.listen}});
  }
  return absl::OkStatus();
}

std::string Server::grpc_address() const {
  return fmt::format("{}:{}", HostOf(options_.listen), grpc_port_);
}
std::string Server::http_address() const {
  return fmt::format("{}:{}", HostOf(options_.http), http_port());
}

void Server::SetAccepting(bool accepting) {
  {
    MutexLock lock(health_mu_);
    accepting_ = accepting;
    health_ = {grpc_->GetHealthCheckService()};
    if (probe_ != nullptr) health_.push_back(probe_->GetHealthCheckService());
  }
  TellHealth();
}

// Under the lock, so that the last word is of the latest state; gRPC does not call back.
void Server::TellHealth() {
  MutexLock lock(health_mu_);
  if (health_.empty()) return;
  const bool publish =
      accepting_ && store_writable_ && engine_->store_breaker().state != BreakerState::kOpen;
  for (grpc::HealthCheckServiceInterface* const health : health_) {
    // Ready is who can serve: when publishing does not work, consumers are still welcome.
    health->SetServingStatus("", accepting_);
    health->SetServingStatus("readiness", accepting_);
    health->SetServingStatus("publish", publish);
    // Neither draining nor a bad disk is a reason to be killed.
    health->SetServingStatus("liveness", true);
  }
}

void Server::OnStoreEvent(const StoreEvent& event) {
  LogStoreEvent(event);
  switch (event.kind) {
    case StoreEventKind::kClosed:
    case StoreEventKind::kFull:
      store_writable_ = false;
      return TellHealth();
    case StoreEventKind::kWritable:
      store_writable_ = true;
      return TellHealth();
    default:
      return;
  }
}

void Server::OnBreaker(const BreakerEvent& event) {
  static constexpr const char* kKinds[] = {"store", "delivery", "push"};
  static constexpr LogPart kParts[] = {LogPart::kStore, LogPart::kServer, LogPart::kPush};
  const LogPart part = kParts[static_cast<size_t>(event.kind)];
  LogFields fields = {{"of", kKinds[static_cast<size_t>(event.kind)]},
                      {"state", std::string(ToString(event.change.to))},
                      {"because", std::string(ToString(event.change.cause))}};
  if (event.kind == BreakerKind::kDelivery) fields.emplace_back("subscription", event.of);
  if (event.kind == BreakerKind::kPush) fields.emplace_back("endpoint", event.of);
  if (event.change.to == BreakerState::kOpen) {
    fields.emplace_back("open_time", absl::FormatDuration(event.change.open_time));
    LogWarning(part, "circuit breaker", fields);
  } else {
    Log(part, "circuit breaker", fields);
  }
  if (event.kind == BreakerKind::kStore) TellHealth();
}

// Under durability os a reaction may be the one that writes, so that a disk that hangs keeps calls
// waiting; the breaker opens then.
bool Server::Alive(absl::Duration timeout) {
  return AnswersHealth(*grpc_, timeout) || engine_->store_breaker().state != BreakerState::kClosed;
}

void Server::WaitUntilQuiet(absl::Time end) {
  uint64_t before = context_->rpcs.started() + 1;
  for (uint64_t now = before - 1; now != before && absl::Now() < end;
       now = context_->rpcs.started()) {
    before = now;
    absl::SleepFor(kQuiet);
  }
}

absl::Status Server::Drain() {
  drained_ = true;
  const absl::Duration for_flush = std::min(options_.shutdown_timeout / 5, absl::Seconds(5));
  const absl::Time end = absl::Now() + options_.shutdown_timeout - for_flush;
  reloader_ = nullptr;
  SetAccepting(false);
  context_->admission.Close(
      RetryableError(Reason::kDraining, "the server is shutting down", absl::Seconds(1)));
  context_->sessions.EndAll(
      RetryableError(Reason::kDraining, "the server is shutting down", absl::Seconds(1)));
  backups_->Stop();
  context_->sessions.WaitEmpty(end - absl::Now());
  access_->Close(
      RetryableError(Reason::kDraining, "the server is shutting down", absl::Seconds(1)));
  WaitUntilQuiet(std::min(end, absl::Now() + kLongestUnrest));
  {
    MutexLock lock(health_mu_);
    health_.clear();
  }
  grpc_->Shutdown(absl::ToChronoTime(std::min(end, absl::Now() + kOtherCallsTimeout)));
  grpc_->Wait();
  push_->Stop(std::min(end - absl::Now(), kPushTimeout));
  if (tracer_ != nullptr)
    tracer_->exporter().BeginStop(std::min(options_.shutdown_timeout / 5, kTraceTimeout));
  absl::Status closed =
      engine_->Shutdown(std::max(end - absl::Now(), absl::ZeroDuration()) + for_flush);
  if (tracer_ != nullptr) tracer_->exporter().Join();
  // The last to go: until now probes were told how it is.
  StopProbe();
  http_ = nullptr;
  return closed;
}

Server::~Server() {
  // A start that failed half way has no HTTP server yet.
  if (grpc_ != nullptr && http_ != nullptr && !drained_) Drain().IgnoreError();
  if (drained_ || http_ != nullptr) return;
  if (grpc_ != nullptr) {
    grpc_->Shutdown(std::chrono::system_clock::now());
    grpc_->Wait();
  }
  if (backups_ != nullptr) backups_->Stop();
  StopProbe();
  // The engine calls into the pushers until it is shut down.
  if (push_ != nullptr) push_->Stop(absl::ZeroDuration());
  if (engine_ != nullptr) engine_->Shutdown(options_.shutdown_timeout).IgnoreError();
}

}  // namespace sluice::server
