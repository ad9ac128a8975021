// HTTP for those who watch: /metrics in Prometheus' text format with pages for each topic and
// subscription (detail.h), /healthz (the process lives), /readyz (it serves). With certificates it
// is HTTPS. The pages that name topics and subscriptions need the right to see the server
// (sluice.server.view) once callers are asked who they are.
//
// Thread rule: Start and the destructor from one thread; requests are served by a few threads of
// its own.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "server/rpc/service_context.h"
#include "server/security/tls/certificates.h"

namespace httplib {
class Server;
}

namespace sluice::server {

class HttpServer {
 public:
  // `certificates` may be null: plain text.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address,
                                                           const CertificateStore* certificates,
                                                           ServiceContext& context);
  ~HttpServer();

  int port() const { return port_; }

 private:
  class Pages;
  HttpServer();

  std::unique_ptr<Pages> pages_;
  std::unique_ptr<httplib::Server> http_;
  std::thread thread_;
  std::atomic<bool> ended_ = false;
  int port_ = 0;
};

}  // namespace sluice::server
