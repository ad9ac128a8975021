// HTTP's side of TLS: TLS 1.2 at least, and every new connection gets the certificate that is
// current. Clients are not asked for theirs: probes and Prometheus have none.
//
// Thread rule: the server calls it from its own threads; the store lives longer than the server.
#pragma once

#include <memory>

#include "server/security/tls/certificates.h"

namespace httplib {
class Server;
}

namespace sluice::server {

std::unique_ptr<httplib::Server> MakeHttps(const CertificateStore& certificates);

}  // namespace sluice::server
