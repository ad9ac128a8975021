// A server that asks who calls, with files that a test writes, and clients with credentials.
//
// Thread rule: one thread.
#pragma once

#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "nlohmann/json.hpp"
#include "server/security/auth/api_tokens.h"
#include "tests/integration/fixture.h"
#include "tests/support/pki.h"

namespace sluice::server {

// Until `condition` holds; a test that waits in vain fails.
inline void WaitUntil(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (!condition() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(condition());
}

class SecurityTest : public ServerTest {
 protected:
  void SetUp() override {}

  std::string WriteFile(const std::string& name, const std::string& text) {
    std::string path = folder_.path() + "/" + name;
    // At once, as a careful administrator does.
    std::ofstream(path + ".new") << text;
    std::rename((path + ".new").c_str(), path.c_str());
    return path;
  }
  // "sluice_NAME" is the token of each name.
  void UseTokens(const std::vector<std::string>& names) {
    std::string text = "tokens:\n";
    for (const std::string& name : names) {
      text += "  - {name: " + name + ", hash: \"sha256:" +
              absl::BytesToHexString(ApiTokens::HashOf(std::string(kTokenPrefix) + name)) + "\"}\n";
    }
    options_.auth.tokens_file = WriteFile("tokens.yaml", text);
  }
  void UsePolicy(const std::string& text) {
    options_.auth.policy_file = WriteFile("policy.yaml", text);
  }
  void UseAudit() { options_.audit.file = folder_.path() + "/audit.log"; }
  std::vector<nlohmann::json> AuditLines() const {
    std::ifstream in(folder_.path() + "/audit.log");
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  // A context that waits 20 s, with the token of a name; none when empty.
  static void Prepare(grpc::ClientContext* context, const std::string& name) {
    Client::SetDeadline(context);
    if (!name.empty())
      context->AddMetadata("authorization", "Bearer " + std::string(kTokenPrefix) + name);
  }
  // Any method of a stub, as somebody.
  template <class Stub, class Request, class Response>
  grpc::Status As(const std::string& name, Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response) {
    grpc::ClientContext context;
    Prepare(&context, name);
    return (stub.*method)(&context, request, response);
  }
  std::unique_ptr<v1::Admin::Stub> Admin() { return v1::Admin::NewStub(client_->channel()); }

  grpc::Status CreateTopicAs(const std::string& name, const std::string& topic) {
    v1::CreateTopicRequest request;
    v1::CreateTopicResponse response;
    request.mutable_topic()->set_name(topic);
    return As(name, *Admin(), &v1::Admin::Stub::CreateTopic, request, &response);
  }
  grpc::Status GetTopicAs(const std::string& name, const std::string& topic) {
    v1::GetTopicRequest request;
    v1::GetTopicResponse response;
    request.set_name(topic);
    return As(name, *Admin(), &v1::Admin::Stub::GetTopic, request, &response);
  }
  grpc::Status PublishAs(const std::string& name, const std::string& topic, int messages = 1) {
    v1::PublishBatchRequest request;
    v1::PublishBatchResponse response;
    request.set_topic(topic);
    for (int i = 0; i < messages; ++i) request.add_messages()->set_data("x");
    return As(name, client_->pubsub(), &v1::PubSub::Stub::PublishBatch, request, &response);
  }
};

}  // namespace sluice::server
