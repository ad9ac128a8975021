// An HTTP server for tests that answers as it is told, also as no server should.
//
//   HttpEndpoint endpoint([](const HttpEndpoint::Request& request, HttpEndpoint::Connection& connection) {
//     connection.Send("HTTP/1.1 204 No Content\r\n\r\n");
//   });
//   endpoint.url("/push");  endpoint.requests();
//
// Thread rule: the answer is called from a thread for each connection; the rest from any thread.
// The destructor ends what is under way: answers see alive() turn false.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "core/base/mutex.h"
#include "fmt/format.h"

namespace sluice {

class HttpEndpoint {
 public:
  struct Request {
    std::string path;
    // Names in lower case.
    std::map<std::string, std::string> headers;
    std::string body;
  };
  class Connection {
   public:
    Connection(int socket, const std::atomic<bool>& closing) : socket_(socket), closing_(closing) {}
    // False when the other side is gone, or this one ends.
    bool Send(const std::string& bytes) {
      return alive() && ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                            static_cast<ssize_t>(bytes.size());
    }
    void Reply(int code) {
      Send(fmt::format("HTTP/1.1 {} Whatever\r\nContent-Length: 0\r\n\r\n", code));
    }
    // Until the other side goes away, or this one ends.
    void Hang() {
      char byte = 0;
      while (alive() && ::recv(socket_, &byte, 1, 0) > 0) {
      }
    }
    bool alive() const { return !closing_; }

   private:
    const int socket_;
    const std::atomic<bool>& closing_;
  };
  using Answer = std::function<void(const Request&, Connection&)>;

  explicit HttpEndpoint(Answer answer)
      : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(listener_, SOMAXCONN);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { Accept(); });
  }
  // Answers each request with this code.
  explicit HttpEndpoint(int code)
      : HttpEndpoint([code](const Request&, Connection& c) { c.Reply(code); }) {}
  ~HttpEndpoint() {
    closing_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    {
      MutexLock lock(mu_);
      for (int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    for (int socket : sockets_) ::close(socket);
    ::close(listener_);
  }

  std::string url(const std::string& path = "/push") const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }
  std::vector<Request> requests() const {
    MutexLock lock(mu_);
    return requests_;
  }
  size_t count() const {
    MutexLock lock(mu_);
    return requests_.size();
  }

 private:
  void Accept() {
    for (int socket = 0; (socket = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      MutexLock lock(mu_);
      sockets_.push_back(socket);
      threads_.emplace_back([this, socket] { Serve(socket); });
    }
  }

  void Serve(int socket) {
    Connection connection(socket, closing_);
    std::string input;
    Request request;
    while (connection.alive() && Read(socket, &input, &request)) {
      {
        MutexLock lock(mu_);
        requests_.push_back(request);
      }
      answer_(request, connection);
    }
    ::shutdown(socket, SHUT_RDWR);
  }

  static bool More(int socket, std::string* input) {
    char buffer[65536];
    const ssize_t got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got > 0) input->append(buffer, static_cast<size_t>(got));
    return got > 0;
  }

  static bool Read(int socket, std::string* input, Request* request) {
    size_t end = 0;
    while ((end = input->find("\r\n\r\n")) == std::string::npos) {
      if (!More(socket, input)) return false;
    }
    const std::string head = input->substr(0, end + 2);
    *request = {};
    const size_t path = head.find(' ') + 1;
    request->path = head.substr(path, head.find(' ', path) - path);
    for (size_t at = head.find("\r\n") + 2; at < head.size();) {
      const size_t colon = head.find(": ", at);
      const size_t line_end = head.find("\r\n", at);
      request->headers[absl::AsciiStrToLower(head.substr(at, colon - at))] =
          head.substr(colon + 2, line_end - colon - 2);
      at = line_end + 2;
    }
    size_t length = 0;
    if (!absl::SimpleAtoi(request->headers["content-length"], &length)) length = 0;
    while (input->size() < end + 4 + length) {
      if (!More(socket, input)) return false;
    }
    request->body = input->substr(end + 4, length);
    input->erase(0, end + 4 + length);
    return true;
  }

  const Answer answer_;
  const int listener_;
  int port_ = 0;
  std::atomic<bool> closing_{false};
  std::thread accepting_;
  mutable Mutex mu_;
  std::vector<Request> requests_ GUARDED_BY(mu_);
  std::vector<int> sockets_ GUARDED_BY(mu_);
  // Joined once nobody accepts any more.
  std::vector<std::thread> threads_;
};

}  // namespace sluice
