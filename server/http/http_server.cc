#include "server/http/http_server.h"

#include <chrono>
#include <future>
#include <string_view>
#include <vector>

#include "CivetServer.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/error.h"
#include "fmt/format.h"
#include "prometheus/text_serializer.h"
#include "server/http/detail.h"
#include "server/http/exposition.h"

namespace sluice::server {

class HttpServer::Pages final : public CivetHandler {
 public:
  explicit Pages(ServiceContext& context) : exposition_(context), context_(context) {}

  bool handleGet(CivetServer*, mg_connection* connection) override {
    const mg_request_info& request = *mg_get_request_info(connection);
    const std::string_view uri = request.local_uri;
    if (uri == "/metrics") return SendMetrics(connection, exposition_.Collect());
    if (uri == "/metrics/topics") return SendPage(connection, request, TopicPage);
    if (uri == "/metrics/subscriptions") return SendPage(connection, request, SubscriptionPage);
    if (uri == "/healthz") return SendText(connection, 200, "ok\n");
    if (uri == "/readyz") {
      if (context_.sessions.draining()) return SendText(connection, 503, "draining\n");
      if (!context_.engine.backend_stats().writable) return SendText(connection, 503, "the store takes no writes\n");
      if (context_.engine.store_breaker().state == BreakerState::kOpen) {
        return SendText(connection, 503, "the store fails or hangs\n");
      }
      return SendText(connection, 200, "ready\n");
    }
    if (uri == "/") return SendText(connection, 200, fmt::format("sluiced: {}\n", kPages));
    return SendText(connection, 404, fmt::format("no such page; there are {}\n", kPages));
  }

 private:
  static constexpr std::string_view kPages = "/metrics /metrics/topics /metrics/subscriptions /healthz /readyz";

  // "page=3", or nothing for the first one.
  template <class Details>
  bool SendPage(mg_connection* connection, const mg_request_info& request, const Details& details) {
    absl::string_view query = request.query_string != nullptr ? request.query_string : "page=0";
    size_t page = 0;
    if (!absl::ConsumePrefix(&query, "page=") || !absl::SimpleAtoi(query, &page) || page > kMaxDetailPage) {
      return SendText(connection, 400, fmt::format("page: a number from 0 to {}, as in ?page=0\n", kMaxDetailPage));
    }
    return SendMetrics(connection, details(context_.engine, page));
  }
  static bool SendMetrics(mg_connection* connection, const std::vector<prometheus::MetricFamily>& families) {
    return Send(connection, 200, "text/plain; version=0.0.4; charset=utf-8", prometheus::TextSerializer().Serialize(families));
  }
  static bool SendText(mg_connection* connection, int status, const std::string& body) {
    return Send(connection, status, "text/plain; charset=utf-8", body);
  }
  static bool Send(mg_connection* connection, int status, const char* type, const std::string& body) {
    mg_printf(connection, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
              mg_get_response_code_text(connection, status), type, body.size());
    mg_write(connection, body.data(), body.size());
    return true;
  }

  const Exposition exposition_;
  ServiceContext& context_;
};

HttpServer::HttpServer() = default;

// The thread that accepts connections looks up only every two seconds, or when somebody connects: so we do.
HttpServer::~HttpServer() {
  if (civet_ == nullptr) return;
  const std::future<void> closed = std::async(std::launch::async, [this] { civet_->close(); });
  do {
    char error[128];
    mg_connection* connection = mg_connect_client(host_.c_str(), port_, 0, error, sizeof error);
    if (connection != nullptr) mg_close_connection(connection);
  } while (closed.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready);
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address, ServiceContext& context) {
  auto server = std::unique_ptr<HttpServer>(new HttpServer());
  server->pages_ = std::make_unique<Pages>(context);
  const std::vector<std::string> options = {"listening_ports", address, "num_threads", "2", "request_timeout_ms",
                                            "10000", "max_request_size", "16384", "enable_keep_alive", "no"};
  try {
    server->civet_ = std::make_unique<CivetServer>(options);
  } catch (const CivetException&) {
    return Error(Reason::kAddressUnusable, fmt::format("cannot listen on {}: is the port in use?", address),
                 {{"field", "--http"}, {"value", address}});
  }
  server->civet_->addHandler("/", *server->pages_);
  server->port_ = server->civet_->getListeningPorts().front();
  server->host_ = address.substr(0, address.rfind(':'));
  if (server->host_.front() == '[') server->host_ = server->host_.substr(1, server->host_.size() - 2);
  return server;
}

}  // namespace sluice::server
