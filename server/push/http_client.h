// HTTP requests, many at a time, by libcurl on a thread of its own.
//
//   HttpClient http({.ca_file = "", .private_addresses = true});
//   http.Post({.url = "https://example.com/push", .headers = {"Content-Type: application/json"}, .body = "{}",
//              .timeout = absl::Seconds(10)},
//             [](const HttpOutcome& outcome) {...});
//
// Redirects are not followed, proxies are not used, and of an answer only its code counts: what a
// server sends beyond 64 KiB of headers or of body is not waited for. A 102 is taken as the answer,
// since push endpoints may say so and nothing else.
//
// Thread rule: Post may be called from any thread; how many may be under way is for the caller to
// bound. Callbacks come on the client's thread and must not block; every one comes, those of
// requests cut off by Stop before it returns. Stop from a plain thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "core/base/mutex.h"
#include "server/push/push_options.h"

namespace sluice::server {

struct HttpRequest {
  std::string url;
  // "Name: value".
  std::vector<std::string> headers;
  std::string body;
  absl::Duration timeout;

  // Whether there is a header of this name, in whatever case.
  bool HasHeader(std::string_view name) const;
};

struct HttpOutcome {
  // Of the answer; 0 when there was none.
  int code = 0;
  bool timed_out = false;
  // Why there was no answer.
  std::string error;
};

class HttpClient {
 public:
  using Done = std::function<void(const HttpOutcome&)>;

  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void Post(HttpRequest request, Done done) EXCLUDES(mu_);

  // Cuts off what is under way; requests from now on have no answer.
  void Stop() EXCLUDES(mu_);

 private:
  class Transfer;
  struct Multi;
  struct Waiting {
    HttpRequest request;
    Done done;
  };

  void ThreadMain() EXCLUDES(mu_);
  // Requests that came meanwhile; false when it is the end.
  bool TakeWaiting(std::vector<Waiting>* waiting) EXCLUDES(mu_);

  const HttpClientOptions options_;
  const std::unique_ptr<Multi> multi_;

  Mutex mu_;
  std::vector<Waiting> waiting_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;

  // The last: it begins when all else is there.
  std::thread thread_;
};

}  // namespace sluice::server
