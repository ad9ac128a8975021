// How messages are pushed to endpoints.
//
// Thread rule: value types.
#pragma once

#include <cstddef>
#include <string>

#include "core/engine/breaker_event.h"

namespace sluice::server {

class Tracer;

struct HttpClientOptions {
  // Certificates of authorities in PEM, instead of the system's; none when empty.
  std::string ca_file;
  // Whether addresses that IsPrivate (endpoint.h) may be connected to.
  bool private_addresses = true;
};

struct PushOptions {
  HttpClientOptions http;
  // Requests under way, of all subscriptions together.
  size_t max_requests = 1000;
  // Told of changes of endpoints' breakers; may be null.
  BreakerListener on_breaker = nullptr;
  // Outlives the service; null where nothing is traced.
  Tracer* tracer = nullptr;
};

}  // namespace sluice::server
