// Credentials from files, for ConnectionOptions.
//
//   auto tls = sluice::client::TlsFromFiles({.ca = "ca.crt"});
//   if (!tls.ok()) ...
//   auto connection = Connection::Open({.server = "sluice.example.com:8085", .credentials = *tls,
//                                       .token = sluice::client::TokenFromFile("token")});
//
// Thread rule: pure functions; the function that TokenFromFile gives may be called from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/security/credentials.h"

namespace sluice::client {

struct TlsFiles {
  // The authorities (PEM) that the server's certificate is checked against; the system's when
  // empty.
  std::string ca;
  // The client's own certificate (PEM) and its key; none when empty.
  std::string cert;
  std::string key;
};

// NOT_FOUND or PERMISSION_DENIED for a file that cannot be read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsFromFiles(const TlsFiles& files);

// Reads the file again for every call that begins more than a second after the last one was read,
// so that tokens may be exchanged under way. Space at its end does not count; a file that cannot be
// read gives the last token.
std::function<std::string()> TokenFromFile(const std::string& path);

}  // namespace sluice::client
