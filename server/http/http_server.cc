#include "server/http/http_server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/thread_name.h"
#include "fmt/format.h"
#include "prometheus/text_serializer.h"
#include "server/http/detail.h"
#include "server/http/exposition.h"
#include "server/http/task_queue.h"
#include "server/security/tls/http_tls.h"

namespace sluice::server {
namespace {

constexpr int kTimeoutSeconds = 10;
constexpr size_t kMaxBodyBytes = 16384;

void AnswerText(httplib::Response& response, int status, const std::string& body) {
  response.status = status;
  response.set_content(body, "text/plain; charset=utf-8");
}

void AnswerMetrics(httplib::Response& response,
                   const std::vector<prometheus::MetricFamily>& families) {
  response.set_content(prometheus::TextSerializer().Serialize(families),
                       "text/plain; version=0.0.4; charset=utf-8");
}

}  // namespace

class HttpServer::Pages {
 public:
  explicit Pages(ServiceContext& context) : exposition_(context), context_(context) {}

  void AddTo(httplib::Server& http) {
    using httplib::Request;
    using httplib::Response;
    http.Get("/metrics", [this](const Request&, Response& response) {
      AnswerMetrics(response, exposition_.Collect());
    });
    http.Get("/metrics/topics", [this](const Request& request, Response& response) {
      AnswerPage(request, response, TopicPage);
    });
    http.Get("/metrics/subscriptions", [this](const Request& request, Response& response) {
      AnswerPage(request, response, SubscriptionPage);
    });
    http.Get("/healthz",
             [](const Request&, Response& response) { AnswerText(response, 200, "ok\n"); });
    http.Get("/readyz", [this](const Request&, Response& response) { AnswerReady(response); });
    http.Get("/", [](const Request&, Response& response) {
      AnswerText(response, 200, fmt::format("sluiced: {}\n", kPages));
    });
    http.set_error_handler([](const Request&, Response& response) {
      if (response.status == 404)
        AnswerText(response, 404, fmt::format("no such page; there are {}\n", kPages));
    });
  }

 private:
  static constexpr std::string_view kPages =
      "/metrics /metrics/topics /metrics/subscriptions /healthz /readyz";

  // Ready is who can serve. A store that takes no messages is no reason to keep consumers away:
  // delivery goes on.
  void AnswerReady(httplib::Response& response) const {
    if (context_.sessions.draining()) return AnswerText(response, 503, "draining\n");
    AnswerText(response, 200, "ready\n");
  }

  // "page=3", or nothing for the first one.
  template <class Details>
  void AnswerPage(const httplib::Request& request, httplib::Response& response,
                  const Details& details) const {
    const std::string peer = fmt::format("http:{}:{}", request.remote_addr, request.remote_port);
    const absl::Status may =
        context_.access.MayView(request.get_header_value("Authorization"), peer, request.path);
    if (!may.ok()) {
      const bool unknown = may.code() == absl::StatusCode::kUnauthenticated;
      if (unknown) response.set_header("WWW-Authenticate", "Bearer");
      return AnswerText(response,
                        unknown                                             ? 401
                        : may.code() == absl::StatusCode::kPermissionDenied ? 403
                                                                            : 503,
                        fmt::format("{}\n", std::string(may.message())));
    }
    size_t page = 0;
    const std::string number = request.params.empty() ? "0" : request.get_param_value("page");
    if (request.params.size() > 1 || !absl::SimpleAtoi(number, &page) || page > kMaxDetailPage) {
      return AnswerText(
          response, 400,
          fmt::format("page: a number from 0 to {}, as in ?page=0\n", kMaxDetailPage));
    }
    AnswerMetrics(response, details(context_.engine, page));
  }

  const Exposition exposition_;
  ServiceContext& context_;
};

HttpServer::HttpServer() = default;

HttpServer::~HttpServer() {
  if (http_ == nullptr || !thread_.joinable()) return;
  // Until it listens there is nothing to stop.
  while (!http_->is_running() && !ended_) absl::SleepFor(absl::Milliseconds(1));
  http_->stop();
  thread_.join();
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address,
                                                              const CertificateStore* certificates,
                                                              ServiceContext& context) {
  auto server = std::unique_ptr<HttpServer>(new HttpServer());
  server->pages_ = std::make_unique<Pages>(context);
  server->http_ =
      certificates != nullptr ? MakeHttps(*certificates) : std::make_unique<httplib::Server>();
  httplib::Server& http = *server->http_;
  http.new_task_queue = [] { return new TaskQueue(); };
  http.set_read_timeout(kTimeoutSeconds);
  http.set_write_timeout(kTimeoutSeconds);
  http.set_payload_max_length(kMaxBodyBytes);
  http.set_keep_alive_max_count(1);
  http.set_tcp_nodelay(true);
  // Not SO_REUSEPORT, with which a second server on the same port would silently take half of the
  // connections.
  http.set_socket_options([](int socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server->pages_->AddTo(http);
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (!host.empty() && host.front() == '[') host = host.substr(1, host.size() - 2);
  const int port = std::stoi(address.substr(colon + 1));
  server->port_ = port == 0                       ? http.bind_to_any_port(host)
                  : http.bind_to_port(host, port) ? port
                                                  : 0;
  if (server->port_ <= 0) {
    return Error(Reason::kAddressUnusable,
                 fmt::format("cannot listen on {}: is the port in use?", address),
                 {{"field", "--http"}, {"value", address}});
  }
  server->thread_ = std::thread([raw = server.get()] {
    NameThisThread("http");
    raw->http_->listen_after_bind();
    raw->ended_ = true;
  });
  return server;
}

}  // namespace sluice::server
