// What the generated clients cannot send: bytes to a port, and calls of methods by name with
// serialized messages.
//
// Thread rule: one thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "core/message/wire.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "tests/integration/client.h"

namespace sluice::server {

// Sends bytes to a port and returns what comes back until the other side closes, or for 5 s.
inline std::string Exchange(int port, const std::string& bytes) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;)
    answer.append(buffer, static_cast<size_t>(n));
  ::close(fd);
  return answer;
}

struct Page {
  int status = 0;
  std::string body;
};

inline Page HttpGet(int port, const std::string& path) {
  const std::string answer = Exchange(port, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const size_t body = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.1 ") || body == std::string::npos) return {};
  return {std::stoi(answer.substr(9, 3)), answer.substr(body + 4)};
}

// One request, one response; `method` such as "/sluice.v1.PubSub/PublishBatch".
inline grpc::Status RawCall(Client& client, const std::string& method, const std::string& request,
                            std::string* response) {
  grpc::ClientContext context;
  Client::SetDeadline(&context);
  grpc::CompletionQueue queue;
  const grpc::Slice slice(request);
  grpc::GenericStub stub(client.channel());
  auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  EXPECT_TRUE(queue.Next(&tag, &ok));
  grpc::Slice flat;
  if (status.ok() && answer.DumpToSingleSlice(&flat).ok())
    response->assign(flat.begin(), flat.end());
  return status;
}

// grpc.health.v1: HealthCheckRequest.service is field 1, HealthCheckResponse.status field 1 with 1
// for SERVING, 2 for NOT_SERVING.
inline uint64_t HealthOf(Client& client, const std::string& service) {
  std::string request;
  AppendBytesField(&request, 1, service);
  std::string response;
  EXPECT_TRUE(RawCall(client, "/grpc.health.v1.Health/Check", request, &response).ok());
  WireReader in(response);
  WireField field;
  return in.Next(&field) ? field.value : 0;
}

}  // namespace sluice::server
