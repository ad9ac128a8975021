// The service manager's side of sd_notify: a socket that what it is sent can be read from.
//
//   NotifySocket socket(folder.path() + "/notify");     // or "@name" for an abstract one
//   EXPECT_EQ(socket.Receive(), "READY=1\nSTATUS=...");
//
// Thread rule: one thread receives.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

namespace sluice {

class NotifySocket {
 public:
  explicit NotifySocket(const std::string& address)
      : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    if (address.size() >= sizeof name.sun_path) std::abort();
    std::memcpy(name.sun_path, address.data(), address.size());
    if (address[0] == '@') name.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&name), size) != 0) std::abort();
    const timeval patience = {.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~NotifySocket() { ::close(fd_); }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  // The next message; waits for it, 20 s at the most.
  std::string Receive() {
    char buffer[4096];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    return n < 0 ? "nothing came" : std::string(buffer, static_cast<size_t>(n));
  }
  // Whether there is one already.
  bool Has() {
    char byte = 0;
    return ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  }

 private:
  const int fd_;
};

}  // namespace sluice
