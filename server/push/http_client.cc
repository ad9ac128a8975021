#include "server/push/http_client.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/strings/match.h"
#include "core/base/strings.h"
#include "core/base/thread_name.h"
#include "core/base/version.h"
#include "server/base/curl.h"
#include "server/push/endpoint.h"

namespace sluice::server {
namespace {

// More of an answer is not read.
constexpr size_t kMaxAnswerBytes = size_t{64} << 10;
constexpr int kProcessing = 102;
// Connections kept open for the next request.
constexpr long kIdleConnections = 256;
// How long the thread sleeps at the most; it is woken when there is something.
constexpr int kPollMs = 10'000;
constexpr long kConnectTimeoutMs = 10'000;

HttpOutcome ShuttingDown() { return {.error = "the server is shutting down"}; }

}  // namespace

bool HttpRequest::HasHeader(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(), [&](const std::string& header) {
    return header.size() > name.size() && header[name.size()] == ':' &&
           absl::StartsWithIgnoreCase(header, ToAbsl(name));
  });
}

// One request under way.
class HttpClient::Transfer {
 public:
  Transfer(Waiting waiting, const HttpClientOptions& options)
      : request_(std::move(waiting.request)),
        done_(std::move(waiting.done)),
        options_(options),
        easy_(curl_easy_init()) {
    SetRequest();
    SetLimits();
  }
  ~Transfer() {
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  CURL* easy() const { return easy_; }

  // Tells what came of it.
  void Finish(CURLcode result) const {
    HttpOutcome outcome;
    long code = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &code);
    if (processing_) {
      outcome.code = kProcessing;
    } else if (result == CURLE_OK || body_cut_) {
      outcome.code = static_cast<int>(code);
    } else if (private_refused_) {
      outcome.error = "it leads to a private address";
    } else {
      outcome.timed_out = result == CURLE_OPERATION_TIMEDOUT;
      outcome.error = error_[0] != '\0' ? error_.data() : curl_easy_strerror(result);
    }
    done_(outcome);
  }

 private:
  template <class Value>
  void Set(CURLoption option, Value value) {
    curl_easy_setopt(easy_, option, value);
  }

  void SetRequest() {
    for (const std::string& header : request_.headers)
      headers_ = curl_slist_append(headers_, header.c_str());
    // A large body is not to wait for leave to be sent.
    headers_ = curl_slist_append(headers_, "Expect:");
    Set(CURLOPT_URL, request_.url.c_str());
    Set(CURLOPT_HTTPHEADER, headers_);
    Set(CURLOPT_POST, 1L);
    Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    Set(CURLOPT_POSTFIELDS, request_.body.data());
    Set(CURLOPT_USERAGENT, kUserAgent.c_str());
  }

  void SetLimits() {
    Set(CURLOPT_PROTOCOLS_STR, "http,https");
    Set(CURLOPT_FOLLOWLOCATION, 0L);
    Set(CURLOPT_PROXY, "");
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(request_.timeout)));
    Set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    if (!options_.ca_file.empty()) Set(CURLOPT_CAINFO, options_.ca_file.c_str());
    Set(CURLOPT_ERRORBUFFER, error_.data());
    Set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::OpenSocket);
    Set(CURLOPT_OPENSOCKETDATA, this);
    Set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
    Set(CURLOPT_HEADERDATA, this);
    Set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
    Set(CURLOPT_WRITEDATA, this);
  }

  // Here the address is known that a name has led to, and no other is connected to.
  static curl_socket_t OpenSocket(void* self, curlsocktype, curl_sockaddr* address) {
    auto& transfer = *static_cast<Transfer*>(self);
    if (!transfer.options_.private_addresses && IsPrivate(address->addr)) {
      transfer.private_refused_ = true;
      return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  // 0 ends the transfer.
  static size_t OnHeader(char* data, size_t, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::string_view line(data, size);
    const size_t code = line.find(' ');
    if (line.starts_with("HTTP/") && code != line.npos && line.substr(code + 1, 3) == "102") {
      transfer.processing_ = true;
      return 0;
    }
    transfer.answer_bytes_ += size;
    return transfer.answer_bytes_ > kMaxAnswerBytes ? 0 : size;
  }

  static size_t OnBody(char*, size_t, size_t size, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    transfer.answer_bytes_ += size;
    transfer.body_cut_ = transfer.answer_bytes_ > kMaxAnswerBytes;
    return transfer.body_cut_ ? 0 : size;
  }

  inline static const std::string kUserAgent = std::string("Sluice/") + kVersion;

  const HttpRequest request_;
  const Done done_;
  const HttpClientOptions& options_;
  CURL* const easy_;
  curl_slist* headers_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_{};
  size_t answer_bytes_ = 0;
  bool processing_ = false;
  bool body_cut_ = false;
  bool private_refused_ = false;
};

// What the thread works with.
struct HttpClient::Multi {
  Multi() : handle(curl_multi_init()) {
    curl_multi_setopt(handle, CURLMOPT_MAXCONNECTS, kIdleConnections);
  }
  ~Multi() { curl_multi_cleanup(handle); }

  void Begin(std::unique_ptr<Transfer> transfer) {
    CURL* easy = transfer->easy();
    curl_multi_add_handle(handle, easy);
    transfers.emplace(easy, std::move(transfer));
  }

  void End(CURL* easy, CURLcode result) {
    auto node = transfers.extract(easy);
    curl_multi_remove_handle(handle, easy);
    node.mapped()->Finish(result);
  }

  void EndFinished() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(handle, &left)) {
      if (message->msg == CURLMSG_DONE) End(message->easy_handle, message->data.result);
    }
  }

  CURLM* const handle;
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> transfers;
};

HttpClient::HttpClient(HttpClientOptions options)
    : options_(std::move(options)),
      multi_((InitCurl(), std::make_unique<Multi>())),
      thread_([this] { ThreadMain(); }) {}

HttpClient::~HttpClient() { Stop(); }

void HttpClient::Post(HttpRequest request, Done done) {
  {
    MutexLock lock(mu_);
    if (!stopping_) {
      waiting_.push_back({std::move(request), std::move(done)});
      curl_multi_wakeup(multi_->handle);
      return;
    }
  }
  done(ShuttingDown());
}

bool HttpClient::TakeWaiting(std::vector<Waiting>* waiting) {
  MutexLock lock(mu_);
  waiting->swap(waiting_);
  return !stopping_;
}

void HttpClient::ThreadMain() {
  NameThisThread("push");
  std::vector<Waiting> waiting;
  while (TakeWaiting(&waiting)) {
    for (Waiting& next : waiting)
      multi_->Begin(std::make_unique<Transfer>(std::move(next), options_));
    waiting.clear();
    int running = 0;
    curl_multi_perform(multi_->handle, &running);
    multi_->EndFinished();
    curl_multi_poll(multi_->handle, nullptr, 0, kPollMs, nullptr);
  }
  for (const Waiting& next : waiting) next.done(ShuttingDown());
  while (!multi_->transfers.empty())
    multi_->End(multi_->transfers.begin()->first, CURLE_ABORTED_BY_CALLBACK);
}

void HttpClient::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    curl_multi_wakeup(multi_->handle);
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace sluice::server
