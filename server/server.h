// The server: an engine over a store, the gRPC services, and HTTP for metrics and health.
//
//   auto server = Server::Start(options);
//   (*server)->grpc_port();
//   (*server)->Drain();          // from a plain thread; afterwards the server can be destroyed
//
// Drain: not ready, no new streams, open streams end with UNAVAILABLE, calls under way finish, the store is saved; all
// within options.shutdown_timeout.
//
// Thread rule: Start and Drain from one plain thread (not a gRPC reaction, not a signal handler).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/engine/engine.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server.h"
#include "server/google/iam_service.h"
#include "server/google/publisher_service.h"
#include "server/google/subscriber_service.h"
#include "server/http/http_server.h"
#include "server/native/admin_service.h"
#include "server/native/pubsub_service.h"
#include "server/options.h"
#include "server/push/push_service.h"
#include "server/service_context.h"
#include "server/unknown_methods.h"

namespace sluice::server {

class Server {
 public:
  // Errors say which address or folder cannot be had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Options options);
  ~Server();

  int grpc_port() const { return grpc_port_; }
  int http_port() const { return http_->port(); }
  // HOST:PORT as the clients need it.
  std::string grpc_address() const;
  std::string http_address() const;
  Engine& engine() { return *engine_; }

  // Whether the server answers calls within `timeout`, which it blocks for at the most; or does not because it waits for the
  // store, which a restart would not mend. Until Drain.
  bool Alive(absl::Duration timeout);

  absl::Status Drain();

 private:
  explicit Server(Options options) : options_(std::move(options)) {}

  absl::Status OpenEngine();
  void StartPush();
  absl::Status CreateFromFile();
  absl::Status StartGrpc();
  // Says to those who ask for grpc.health.v1 what is now.
  void TellHealth() EXCLUDES(health_mu_);
  void SetAccepting(bool accepting) EXCLUDES(health_mu_);
  void OnBreaker(const BreakerEvent& event);

  const Options options_;
  SystemClock clock_;
  Metrics metrics_;
  bool drained_ = false;
  int grpc_port_ = 0;

  Mutex health_mu_;
  // Started, and not draining.
  bool accepting_ GUARDED_BY(health_mu_) = false;
  // Null while there is no gRPC server.
  grpc::HealthCheckServiceInterface* health_ GUARDED_BY(health_mu_) = nullptr;

  // In the order in which they need each other.
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ServiceContext> context_;
  std::unique_ptr<PushService> push_;
  std::unique_ptr<PubSubService> pubsub_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<GooglePublisher> publisher_;
  std::unique_ptr<GoogleSubscriber> subscriber_;
  std::unique_ptr<GoogleIam> iam_;
  std::unique_ptr<UnknownMethods> unknown_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace sluice::server
