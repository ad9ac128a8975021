#include "server/process/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "absl/strings/numbers.h"
#include "fmt/format.h"
#include "server/log/log.h"

namespace sluice::server {
namespace {

// Read before there are other threads.
std::string Environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "" : value;
}

// A status is one line: the next would be taken for another assignment.
std::string OneLine(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

absl::Duration WatchdogFromEnvironment() {
  const std::string pid = Environment("WATCHDOG_PID");
  int64_t usec = 0;
  const bool ours = pid.empty() || pid == std::to_string(::getpid());
  if (!ours || !absl::SimpleAtoi(Environment("WATCHDOG_USEC"), &usec) || usec <= 0)
    return absl::ZeroDuration();
  return absl::Microseconds(usec);
}

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  return ServiceManager(Environment("NOTIFY_SOCKET"), WatchdogFromEnvironment());
}

void ServiceManager::Ready(std::string_view status) const {
  Send(fmt::format("READY=1\nSTATUS={}", OneLine(status)));
}

// The time is what Type=notify-reload of systemd 253 asks for; those before leave it aside.
void ServiceManager::Reloading() const {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  Send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                   absl::ToInt64Microseconds(absl::DurationFromTimespec(now))));
}

void ServiceManager::Stopping() const { Send("STOPPING=1\nSTATUS=draining"); }
void ServiceManager::Failed(std::string_view status) const {
  Send(fmt::format("STATUS={}", OneLine(status)));
}
void ServiceManager::Alive() const { Send("WATCHDOG=1"); }

void ServiceManager::Send(std::string_view message) const {
  if (socket_.empty()) return;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // Longer, or neither a path nor abstract: nothing that systemd would name.
  if (socket_.size() >= sizeof address.sun_path || (socket_[0] != '/' && socket_[0] != '@')) {
    return LogWarning("NOTIFY_SOCKET is no address", {{"value", socket_}});
  }
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool sent = fd >= 0 && ::sendto(fd, message.data(), message.size(), MSG_NOSIGNAL,
                                        reinterpret_cast<const sockaddr*>(&address), size) >= 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!sent) {
    LogWarning("the service manager cannot be told",
               {{"socket", socket_}, {"error", std::generic_category().message(error)}});
  }
}

}  // namespace sluice::server
