// HTTP for those who watch: /metrics in Prometheus' text format with pages for each topic and subscription (detail.h), /healthz (the
// process lives), /readyz (it takes work).
//
// Thread rule: Start and the destructor from one thread; requests are served by two threads of its own.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/service_context.h"

class CivetServer;

namespace sluice::server {

class HttpServer {
 public:
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address, ServiceContext& context);
  ~HttpServer();

  int port() const { return port_; }

 private:
  class Pages;
  HttpServer();

  std::unique_ptr<Pages> pages_;
  std::unique_ptr<CivetServer> civet_;
  std::string host_;
  int port_ = 0;
};

}  // namespace sluice::server
