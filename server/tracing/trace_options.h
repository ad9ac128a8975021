// How traces are made and where they go.
//
// Thread rule: a value type.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::server {

struct TraceOptions {
  // HOST:PORT of a collector that takes OTLP over gRPC, with https:// before it when it wants TLS;
  // nothing is traced when empty.
  std::string endpoint;
  // The authorities (PEM) that its certificate is checked against; the system's when empty.
  std::string ca_file = {};
  // Sent along with every export, a line "name: value" each; for https only, since it may be a key.
  // None when empty.
  std::string headers_file = {};
  // Of the requests that belong to no trace yet, the share that begins one: 0 to 1.
  double sample = 0.01;
  // Spans that wait to be sent; more are dropped.
  size_t queue = 2048;

  bool tls() const { return endpoint.rfind(kTlsScheme, 0) == 0; }
  std::string address() const { return tls() ? endpoint.substr(kTlsScheme.size()) : endpoint; }

  static constexpr std::string_view kTlsScheme = "https://";
};

}  // namespace sluice::server
