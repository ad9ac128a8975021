#include "server/security/tls/exposure.h"

#include "core/base/error.h"
#include "fmt/format.h"

namespace sluice::server {
namespace {

bool IsLoopback(std::string_view host) {
  constexpr std::string_view kLoopback = "127.";
  return host == "localhost" || host == "[::1]" || host.substr(0, kLoopback.size()) == kLoopback;
}

}  // namespace

absl::Status CheckExposure(std::string_view setting, const std::string& address, bool tls,
                           bool insecure) {
  const std::string_view host = std::string_view(address).substr(0, address.rfind(':'));
  if (tls || insecure || IsLoopback(host)) return absl::OkStatus();
  return Error(Reason::kInvalidConfig,
               fmt::format("{}: {} can be reached from other machines, in plain text: set tls.cert "
                           "and tls.key, or insecure to "
                           "mean it so",
                           setting, address),
               {{"field", std::string(setting)}, {"value", address}});
}

}  // namespace sluice::server
