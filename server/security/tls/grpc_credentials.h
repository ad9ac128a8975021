// gRPC's side of TLS: every new connection gets the certificates that are current. TLS 1.2 is the
// oldest version that gRPC speaks.
//
// Thread rule: gRPC calls it from its own threads; the store and the credentials live longer than
// the gRPC server.
#pragma once

#include <memory>

#include "grpcpp/security/server_credentials.h"
#include "server/security/tls/certificates.h"

namespace sluice::server {

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const CertificateStore& certificates);

}  // namespace sluice::server
