// The program's settings: its command line, its file, and SIGHUP.
#include <fstream>
#include <thread>

#include "core/base/version.h"
#include "gmock/gmock.h"
#include "tests/integration/client.h"
#include "tests/integration/raw.h"
#include "tests/support/program.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class ConfigProgramTest : public testing::Test {
 protected:
  void Write(const std::string& text) const { std::ofstream(path_) << text; }
  static Ended Run(std::vector<std::string> flags, std::vector<std::string> variables = {}) {
    flags.insert(flags.begin(), SLUICED);
    return RunProgram(std::move(flags), std::move(variables));
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/config.yaml";
};

TEST_F(ConfigProgramTest, AFileIsCheckedWithoutAServer) {
  Write("store: memory\ntopics: [orders]\n");
  const Ended good = Run({"--check-config", "--config=" + path_});
  EXPECT_EQ(good.exit_code, 0) << good.output;
  EXPECT_EQ(good.output, "");
  Write("store: disk\nmax_topcs: 5\n");
  const Ended bad = Run({"--check-config", "--config=" + path_});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_EQ(bad.output, path_ + ":1: store: must be one of local, memory; it is disk\n" + path_ +
                            ":2: max_topcs: is not known; did you mean max_topics?\n");
  EXPECT_EQ(Run({"--check-config"}, {"SLUICED_CONFIG=" + path_}).output, bad.output);
}

TEST_F(ConfigProgramTest, FilesThatSettingsNameAreCheckedWithoutAServer) {
  const std::string policy = folder_.Write("policy.yaml", "bindings:\n  - {role: owner}\n");
  const std::string tokens = folder_.Write("tokens.yaml", "tokens: [{name: a}]\n");
  const std::string keys = folder_.Write("keys.json", "{}");
  const std::string pem = folder_.Write("tls.pem", "no certificate");
  Write("listen: 0.0.0.0:0\nauth: {policy: " + policy + ", tokens: " + tokens +
        ", jwt_keys: " + keys + ", jwt_issuer: me}\n");
  const Ended plain = Run({"--check-config", "--config=" + path_});
  EXPECT_EQ(plain.exit_code, 2);
  EXPECT_THAT(plain.output, HasSubstr("listen: 0.0.0.0:0"));
  EXPECT_THAT(plain.output, HasSubstr("auth.jwt_audience: is required with auth.jwt_keys\n"));
  EXPECT_THAT(plain.output, HasSubstr(policy + ":2: bindings[0].members: none are named"));
  EXPECT_THAT(plain.output, HasSubstr(tokens + ":1: "));
  EXPECT_THAT(plain.output, HasSubstr(keys + ": the keys are no JSON Web Key Set"));
  const Ended tls =
      Run({"--check-config", "--listen=0.0.0.0:0", "--tls-cert=" + pem, "--tls-key=" + pem});
  EXPECT_EQ(tls.exit_code, 2);
  EXPECT_THAT(tls.output, HasSubstr(pem));
  const std::string no_authority = "push.ca: " + pem + ": there is no certificate (PEM) in it";
  EXPECT_THAT(Run({"--check-config", "--push-ca=" + pem}).output, HasSubstr(no_authority));
  EXPECT_THAT(Run({"--store=memory", "--listen=127.0.0.1:0", "--push-ca=" + pem}).output,
              HasSubstr(no_authority));
}

TEST_F(ConfigProgramTest, MistakesEndTheStartWithTwo) {
  Write("max_topics: 0\n");
  const Ended ended =
      Run({"--config=" + path_, "--listen=nowhere", "--max-topcs=1"}, {"SLUICED_HTTP=nowhere"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_EQ(ended.output,
            "--max-topcs: is not known; did you mean --max-topics?\n" + path_ +
                ":1: max_topics: must be a number from 1 to 1000000000; it is 0\n"
                "SLUICED_HTTP: must be HOST:PORT with a port from 0 to 65535; it is nowhere\n"
                "--listen: must be HOST:PORT with a port from 0 to 65535; it is nowhere\n");
}

TEST_F(ConfigProgramTest, TheCommandLineIsCheckedAsItWas) {
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"--nonsense"},
                                                {"serve"},
                                                {"--listen"},
                                                {"--listen=a:1", "--listen=b:1"},
                                                {"--memory-budget=1 pound"},
                                                {"--push-refuse-private=perhaps"},
                                                {"--config=/nowhere.yaml"},
                                                {"--config=a", "--config=b"},
                                                {"--publish-limit=topic:"}}) {
    const Ended ended = Run(flags);
    EXPECT_EQ(ended.exit_code, 2) << flags.front() << ": " << ended.output;
    EXPECT_NE(ended.output, "");
  }
  const Ended version = Run({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.output, std::string("sluiced ") + kVersion + "\n");
  const Ended help = Run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.output, HasSubstr("--max-leased-messages-per-subscription NUMBER"));
}

TEST_F(ConfigProgramTest, WhatIsPrintedIsReadAgain) {
  Write("store: memory\n");
  const Ended printed =
      Run({"--print-config", "--config=" + path_, "--publish-limit=topic:batches=64",
           "--publish-limit", "server:bytes=1GiB", "--push-refuse-private", "--memory-budget=1GB"},
          {"SLUICED_LOG_LEVEL=info,push=debug"});
  EXPECT_EQ(printed.exit_code, 0) << printed.output;
  EXPECT_THAT(printed.output, HasSubstr("\nstore: memory  # " + path_ + ":1\n"));
  EXPECT_THAT(printed.output, HasSubstr("\nmemory_budget: 1GiB  # --memory-budget\n"));
  Write(printed.output);
  const auto values = [](const std::string& yaml) {
    std::string text;
    for (size_t at = 0; at < yaml.size(); at = yaml.find('\n', at) + 1)
      text += yaml.substr(at, yaml.find("  # ", at) - at) + "\n";
    return text;
  };
  EXPECT_EQ(values(Run({"--print-config", "--config=" + path_}).output), values(printed.output));
}

class ConfigSignalTest : public ConfigProgramTest {
 protected:
  void Start() {
    process_.Start();
    client_ = std::make_unique<Client>(std::stoi(process_.port()));
  }
  std::string Metrics() const { return HttpGet(std::stoi(process_.http_port()), "/metrics").body; }
  // That many or more: the change of a file may be seen besides the signal.
  void AwaitReloads(const std::string& result, int count) const {
    const std::string line = "\nsluice_config_reloads_total{result=\"" + result + "\"} ";
    for (;;) {
      const std::string page = Metrics();
      const size_t at = page.find(line);
      if (at != std::string::npos && std::stoi(page.substr(at + line.size())) >= count) return;
      std::this_thread::yield();
    }
  }

  ServerProcess process_{SLUICED, {"--store=memory", "--config=" + path_}};
  std::unique_ptr<Client> client_;
};

TEST_F(ConfigSignalTest, ABrokenFileKeepsTheServerServingAsItWas) {
  Write("topics: [orders]\nproject: test\n");
  Start();
  EXPECT_THAT(Metrics(), HasSubstr("sluice_config_last_reload_success_timestamp_seconds"));
  Write("topics: [orders\n");
  process_.Signal(SIGHUP);
  AwaitReloads("failed", 1);
  client_->Publish("orders", {"a"});
  EXPECT_THAT(Metrics(), HasSubstr("\nsluice_config_reloads_total{result=\"ok\"} 0\n"));
  Write("project: test\n");
  process_.Signal(SIGHUP);
  AwaitReloads("ok", 1);
  client_->Publish("orders", {"b"});
  process_.Signal(SIGTERM);
  EXPECT_EQ(process_.Wait(), 0);
}

TEST_F(ConfigSignalTest, LimitsOnPublishingChangeWithTheFileAlone) {
  Write("topics: [orders]\nproject: test\n");
  Start();
  client_->Publish("orders", std::vector<std::string>(100, "x"));
  Write("publish_limit: [\"topic:messages/s=1,wait=0\"]\n");
  AwaitReloads("ok", 1);
  v1::PublishBatchRequest request;
  request.set_topic(TopicPath("orders"));
  for (int i = 0; i < 100; ++i) request.add_messages()->set_data("x");
  v1::PublishBatchResponse response;
  EXPECT_EQ(CodeAndReason(client_->PublishBatch(request, &response)), "OK")
      << "up to the burst, and over it once";
  EXPECT_EQ(CodeAndReason(client_->PublishBatch(request, &response)),
            "RESOURCE_EXHAUSTED/QUOTA_EXCEEDED");
  Write("publish_limit: []\n");
  AwaitReloads("ok", 2);
  EXPECT_EQ(CodeAndReason(client_->PublishBatch(request, &response)), "OK");
}

}  // namespace
}  // namespace sluice::server
