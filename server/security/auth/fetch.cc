#include "server/security/auth/fetch.h"

#include <curl/curl.h>

#include <array>
#include <memory>
#include <string_view>

#include "absl/strings/match.h"
#include "core/base/error.h"
#include "core/base/version.h"
#include "fmt/format.h"
#include "server/base/curl.h"

namespace sluice::server {
namespace {

struct Body {
  std::string text;
  size_t limit = 0;
};

size_t Append(const char* data, size_t size, size_t count, void* to) {
  auto& body = *static_cast<Body*>(to);
  if (body.text.size() + size * count > body.limit) return 0;
  body.text.append(data, size * count);
  return size * count;
}

}  // namespace

bool MayBeFetched(const std::string& url) {
  if (absl::StartsWith(url, "https://")) return true;
  for (const char* local : {"http://127.0.0.1", "http://[::1]", "http://localhost"}) {
    const std::string_view prefix = local;
    if (url.compare(0, prefix.size(), prefix) != 0) continue;
    if (url.size() == prefix.size() || url[prefix.size()] == ':' || url[prefix.size()] == '/')
      return true;
  }
  return false;
}

absl::StatusOr<std::string> Fetch(const std::string& url, const FetchLimits& limits) {
  InitCurl();
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  const std::string agent = fmt::format("sluiced/{}", kVersion);
  std::array<char, CURL_ERROR_SIZE> error = {};
  Body body{{}, limits.bytes};
  const auto set = [&easy](CURLoption option, auto value) {
    curl_easy_setopt(easy.get(), option, value);
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(limits.timeout)));
  set(CURLOPT_USERAGENT, agent.c_str());
  set(CURLOPT_ERRORBUFFER, error.data());
  set(CURLOPT_WRITEFUNCTION, &Append);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&body));
  const CURLcode result = curl_easy_perform(easy.get());
  long code = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
  const auto failed = [&](const std::string& why) {
    return Error(Reason::kKeysUnavailable, fmt::format("{}: {}", url, why));
  };
  if (result == CURLE_WRITE_ERROR) return failed(fmt::format("more than {} bytes", limits.bytes));
  if (result != CURLE_OK)
    return failed(error[0] != '\0' ? error.data() : curl_easy_strerror(result));
  if (code != 200) return failed(fmt::format("answered {}", code));
  return body.text;
}

}  // namespace sluice::server
