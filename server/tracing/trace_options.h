// How traces are made and where they go.
//
// Thread rule: a value type.
#pragma once

#include <cstddef>
#include <string>

namespace sluice::server {

struct TraceOptions {
  // HOST:PORT of a collector that takes OTLP over gRPC in plain text; nothing is traced when empty.
  std::string endpoint;
  // Of the requests that belong to no trace yet, the share that begins one: 0 to 1.
  double sample = 0.01;
  // Spans that wait to be sent; more are dropped.
  size_t queue = 2048;
};

}  // namespace sluice::server
