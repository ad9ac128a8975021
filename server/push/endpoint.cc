#include "server/push/endpoint.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice::server {
namespace {

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

// Empty when the URL has no such part.
std::string PartOf(const Url& url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, 0) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

absl::Status Invalid(const std::string& url, std::string_view what) {
  constexpr size_t kShown = 200;
  const std::string shown = url.substr(0, kShown);
  return Error(
      Reason::kInvalidPushConfig, fmt::format("push_config.push_endpoint: {}: {}", shown, what),
      {{"field", "push_config.push_endpoint"}, {"value", shown}, {"limit", std::string(what)}});
}

bool IsPrivateHost(std::string host) {
  if (host == "localhost") return true;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1)
    return IsPrivate(reinterpret_cast<const sockaddr&>(v4));
  if (host.size() < 2 || host.front() != '[') return false;
  host = host.substr(1, host.size() - 2);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  return inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1 &&
         IsPrivate(reinterpret_cast<const sockaddr&>(v6));
}

using Bytes16 = std::array<uint8_t, 16>;

struct Network {
  uint32_t base;
  int bits;
};
// 0.0.0.0/8, 10/8, 100.64/10 (carriers), 127/8, 169.254/16 (link local, where clouds have their
// metadata), 172.16/12, 192.0.0/24, 192.168/16, 198.18/15 (benchmarks), 224/4 (multicast), 240/4
// (reserved, with the broadcast).
constexpr Network kPrivateV4[] = {{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10},
                                  {0x7f000000, 8},  {0xa9fe0000, 16}, {0xac100000, 12},
                                  {0xc0000000, 24}, {0xc0a80000, 16}, {0xc6120000, 15},
                                  {0xe0000000, 4},  {0xf0000000, 4}};

bool IsPrivateV4(uint32_t address) {
  return std::any_of(std::begin(kPrivateV4), std::end(kPrivateV4), [&](const Network& network) {
    return (address ^ network.base) >> (32 - network.bits) == 0;
  });
}

uint32_t V4At(const Bytes16& bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 | uint32_t{bytes[at + 2]} << 8 |
         bytes[at + 3];
}

bool IsPrivateV6(const Bytes16& bytes) {
  const auto begins = [&](std::initializer_list<uint8_t> prefix) {
    return std::equal(prefix.begin(), prefix.end(), bytes.begin());
  };
  const auto zeros = [&](size_t count) {
    return std::all_of(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count),
                       [](uint8_t b) { return b == 0; });
  };
  // ::, ::1, and IPv4 as ::a.b.c.d, ::ffff:a.b.c.d, 64:ff9b::a.b.c.d (NAT64), 2002:a.b.c.d::
  // (6to4).
  if (zeros(12)) return true;
  if (zeros(10) && bytes[10] == 0xff && bytes[11] == 0xff) return IsPrivateV4(V4At(bytes, 12));
  if (begins({0, 0x64, 0xff, 0x9b})) return IsPrivateV4(V4At(bytes, 12));
  if (begins({0x20, 0x02})) return IsPrivateV4(V4At(bytes, 2));
  const bool unique_local = (bytes[0] & 0xfe) == 0xfc;
  const bool link_or_site_local = bytes[0] == 0xfe && bytes[1] >= 0x80;
  return unique_local || link_or_site_local || bytes[0] == 0xff;
}

}  // namespace

absl::Status CheckEndpoint(const std::string& url, bool private_allowed) {
  if (url.size() > kMaxEndpointBytes) {
    return Invalid(
        url, fmt::format("{} bytes, but at most {} are allowed", url.size(), kMaxEndpointBytes));
  }
  const bool printable =
      std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  const Url parsed(curl_url(), &curl_url_cleanup);
  if (!printable || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return Invalid(url, "not a URL, such as https://example.com/push");
  }
  const std::string scheme = PartOf(parsed, CURLUPART_SCHEME);
  if (scheme != "https" && scheme != "http")
    return Invalid(url, "must begin with https:// or http://");
  if (!PartOf(parsed, CURLUPART_USER).empty() || !PartOf(parsed, CURLUPART_PASSWORD).empty()) {
    return Invalid(url, "must not have a user in it");
  }
  if (!PartOf(parsed, CURLUPART_FRAGMENT).empty()) return Invalid(url, "must not have a fragment");
  if (!private_allowed && IsPrivateHost(PartOf(parsed, CURLUPART_HOST))) {
    return Invalid(url, "this server does not push to private addresses");
  }
  return absl::OkStatus();
}

absl::Status CheckPush(const SubscriptionConfig& config, bool private_allowed) {
  return config.push ? CheckEndpoint(config.push->endpoint, private_allowed) : absl::OkStatus();
}

bool IsPrivate(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    return IsPrivateV4(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return true;
  Bytes16 bytes;
  std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr,
              bytes.size());
  return IsPrivateV6(bytes);
}

std::string_view WithoutQuery(std::string_view url) { return url.substr(0, url.find('?')); }

}  // namespace sluice::server
