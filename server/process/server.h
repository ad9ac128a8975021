// The server: an engine over a store, the gRPC services, and HTTP for metrics and health.
//
//   auto server = Server::Start(options);
//   (*server)->grpc_port();
//   (*server)->Drain();          // from a plain thread; afterwards the server can be destroyed
//
// Drain: not ready, no new streams, open streams end with UNAVAILABLE, calls under way finish, the
// store is saved; all within options.shutdown_timeout.
//
// Thread rule: Start and Drain from one plain thread (not a gRPC reaction, not a signal handler).
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server.h"
#include "server/api/google/iam_service.h"
#include "server/api/google/publisher_service.h"
#include "server/api/google/subscriber_service.h"
#include "server/api/native/admin_service.h"
#include "server/api/native/pubsub_service.h"
#include "server/backup/backups.h"
#include "server/config/options.h"
#include "server/http/http_server.h"
#include "server/process/reloader.h"
#include "server/push/push_service.h"
#include "server/rpc/service_context.h"
#include "server/rpc/unknown_methods.h"
#include "server/security/audit/audit_log.h"
#include "server/security/auth/access.h"
#include "server/security/tls/certificates.h"
#include "server/tracing/tracer.h"

namespace sluice::server {

class Server {
 public:
  // Errors say which address or folder cannot be had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Options options);
  ~Server();

  int grpc_port() const { return grpc_port_; }
  int probe_port() const { return probe_port_; }
  int http_port() const { return http_->port(); }
  // HOST:PORT as the clients need it.
  std::string grpc_address() const;
  std::string http_address() const;
  Engine& engine() { return *engine_; }
  ConfigMetrics& config_metrics() { return context_->config; }

  // From now on; for those too who are publishing already. From any thread, until Drain.
  void SetPublishLimits(const AdmissionOptions& limits) { context_->admission.SetLimits(limits); }

  const SecurityMetrics& security_metrics() const { return security_metrics_; }

  // Reads certificates, policy, tokens and keys again, and opens the audit log anew; soon, on a
  // thread of the server's.
  void Reload();

  // Whether the server answers calls within `timeout`, which it blocks for at the most; or does not
  // because it waits for the store, which a restart would not mend. Until Drain.
  bool Alive(absl::Duration timeout);

  absl::Status Drain();

 private:
  explicit Server(Options options) : options_(std::move(options)) {}

  absl::Status CheckAddresses() const;
  absl::Status OpenSecurity();
  absl::Status OpenEngine();
  absl::Status StartTracing();
  absl::Status StartPush();
  absl::Status CreateFromFile();
  absl::Status StartGrpc();
  absl::Status StartProbe();
  void StopProbe();
  absl::Status ReloadPolicy();
  void StartReloader();
  void EndStreamsThatMayNot();
  // Says to those who ask for grpc.health.v1 what is now: "" and "readiness" that it serves,
  // "publish" that the store takes messages.
  void TellHealth() EXCLUDES(health_mu_);
  // Blocks while clients go on calling.
  void WaitUntilQuiet(absl::Time end);
  void SetAccepting(bool accepting) EXCLUDES(health_mu_);
  void OnBreaker(const BreakerEvent& event);
  void OnStoreEvent(const StoreEvent& event);

  const Options options_;
  SystemClock clock_;
  Metrics metrics_;
  bool drained_ = false;
  // As the store says.
  std::atomic<bool> store_writable_{true};
  int grpc_port_ = 0;
  int probe_port_ = 0;
  SecurityMetrics security_metrics_;

  Mutex health_mu_;
  // Started, and not draining.
  bool accepting_ GUARDED_BY(health_mu_) = false;
  // Of the servers that there are.
  std::vector<grpc::HealthCheckServiceInterface*> health_ GUARDED_BY(health_mu_);

  // In the order in which they need each other.
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<Access> access_;
  // Null without TLS.
  std::unique_ptr<CertificateStore> certificates_;
  // gRPC asks it for certificates as long as there is a server.
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<Tracer> tracer_;
  std::unique_ptr<Engine> engine_;
  // The engine's store; null when it is not the local one.
  LocalBackend* local_ = nullptr;
  std::unique_ptr<ServiceContext> context_;
  std::unique_ptr<Backups> backups_;
  std::unique_ptr<PushService> push_;
  std::unique_ptr<PubSubService> pubsub_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<GooglePublisher> publisher_;
  std::unique_ptr<GoogleSubscriber> subscriber_;
  std::unique_ptr<GoogleIam> iam_;
  std::unique_ptr<UnknownMethods> unknown_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<grpc::Server> probe_;
  std::unique_ptr<HttpServer> http_;
  // Its thread uses what is above.
  uint64_t checked_generation_ = 0;
  std::unique_ptr<Reloader> reloader_;
};

}  // namespace sluice::server
