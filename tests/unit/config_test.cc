// Settings: what they may be, where they come from, what is wrong with them, and how they are
// shown.
#include <fstream>
#include <sstream>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "server/config/load_settings.h"
#include "server/config/nearest.h"
#include "server/config/print_settings.h"
#include "server/process/startup_file.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ConfigTest : public testing::Test {
 protected:
  void Write(const std::string& text) {
    std::ofstream(path_) << text;
    inputs_.file = path_;
  }
  void Environment(std::vector<const char*> variables) {
    variables.push_back(nullptr);
    inputs_.ReadEnvironment(variables.data());
  }
  LoadedSettings Load() { return LoadSettings(inputs_); }
  // Without the path of the file.
  std::vector<std::string> Mistakes() {
    std::vector<std::string> texts;
    for (const Mistake& mistake : Load().mistakes) {
      std::string text = mistake.ToText();
      if (const size_t at = text.find(path_); at != std::string::npos)
        text = text.substr(0, at) + std::string("F") + text.substr(at + path_.size());
      texts.push_back(text);
    }
    return texts;
  }
  std::vector<std::string> MistakesOf(const std::string& text) {
    Write(text);
    return Mistakes();
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/config.yaml";
  Inputs inputs_{
      .file = "", .read_rest = CountStartup, .flags = {}, .variables = {}, .mistakes = {}};
};

TEST_F(ConfigTest, TheFileSetsWhatItNamesAndLeavesTheRest) {
  Write(R"(
listen: "[::1]:0"
store: memory
memory_budget: 2 GiB
shutdown_timeout: 1m30s
max_topics: "7"
publish_limit:
  - server:bytes=1MiB
  - topic:batches=64,wait=0
log: {format: json, level: "warning,push=debug"}
push:
  refuse_private: true
)");
  const LoadedSettings loaded = Load();
  EXPECT_THAT(Mistakes(), IsEmpty());
  const Options& options = loaded.settings->options();
  EXPECT_EQ(options.listen, "[::1]:0");
  EXPECT_EQ(options.store, StoreKind::kMemory);
  EXPECT_EQ(options.memory_budget_bytes, size_t{2} << 30);
  EXPECT_EQ(options.shutdown_timeout, absl::Seconds(90));
  EXPECT_EQ(options.max_topics, 7u);
  EXPECT_EQ(options.publish.server.bytes, 1 << 20);
  EXPECT_EQ(options.publish.topic.batches, 64);
  EXPECT_EQ(options.log_format, LogFormat::kJson);
  EXPECT_EQ(options.log_levels.of(LogPart::kPush), LogLevel::kDebug);
  EXPECT_FALSE(options.push.http.private_addresses);
  EXPECT_EQ(options.http, Options().http);
  EXPECT_EQ(options.config_file, path_);
}

TEST_F(ConfigTest, AFlagBeatsAVariableAVariableTheFileTheFileTheDefault) {
  const auto max_topics = [this] { return Load().settings->options().max_topics; };
  const auto from = [this] { return Load().settings->Find("max_topics")->from; };
  EXPECT_EQ(max_topics(), Options().max_topics);
  EXPECT_EQ(from(), "");
  Write("max_topics: 1\n");
  EXPECT_EQ(max_topics(), 1u);
  EXPECT_EQ(from(), path_ + ":1");
  Environment({"SLUICED_MAX_TOPICS=2"});
  EXPECT_EQ(max_topics(), 2u);
  EXPECT_EQ(from(), "SLUICED_MAX_TOPICS");
  inputs_.flags = {{"max_topics", {"3"}}};
  EXPECT_EQ(max_topics(), 3u);
  EXPECT_EQ(from(), "--max-topics");
}

TEST_F(ConfigTest, AListIsReplacedAsAWhole) {
  Write("publish_limit: [server:batches=1, project:batches=1]\n");
  EXPECT_EQ(Load().settings->options().publish.project.batches, 1);
  Environment({"SLUICED_PUBLISH_LIMIT=topic:batches=2  server:bytes=2"});
  const LoadedSettings loaded = Load();
  EXPECT_EQ(loaded.settings->options().publish.topic.batches, 2);
  EXPECT_EQ(loaded.settings->options().publish.server.bytes, 2);
  EXPECT_EQ(loaded.settings->options().publish.server.batches, 0);
  EXPECT_EQ(loaded.settings->options().publish.project.batches, 0);
}

TEST_F(ConfigTest, WhatIsBeatenIsCheckedAsWell) {
  Write("max_topics: none\n");
  Environment({"SLUICED_MAX_TOPICS=-1"});
  inputs_.flags = {{"max_topics", {"3"}}};
  EXPECT_THAT(Mistakes(),
              ElementsAre("F:1: max_topics: must be a number from 1 to 1000000000; it is none",
                          "SLUICED_MAX_TOPICS: must be a number from 1 to 1000000000; it is -1"));
}

TEST_F(ConfigTest, TheFileOfAVariableIsTakenUnlessAFlagNamesOne) {
  Write("max_topics: 5\n");
  inputs_.file = "";
  Environment({("SLUICED_CONFIG=" + path_).c_str()});
  EXPECT_EQ(Load().settings->options().max_topics, 5u);
  inputs_.file = folder_.path() + "/other.yaml";
  Environment({("SLUICED_CONFIG=" + path_).c_str()});
  EXPECT_EQ(inputs_.file, folder_.path() + "/other.yaml");
}

TEST_F(ConfigTest, EveryMistakeIsNamedWithItsLine) {
  EXPECT_THAT(
      MistakesOf("listen: 8085\n"
                 "shutdown_timeout: 25\n"
                 "memory_budget: 1 pound\n"
                 "max_topics: 0\n"
                 "durability: maybe\n"
                 "push:\n"
                 "  max_requests: 100001\n"
                 "  refuse_private: si\n"
                 "  ca: /nowhere.pem\n"),
      ElementsAre("F:1: listen: must be HOST:PORT with a port from 0 to 65535; it is 8085",
                  "F:2: shutdown_timeout: must be a duration from 1ms to 1h, such as 25s; it is 25",
                  "F:3: memory_budget: must be a size under 1 PB, such as 1GiB; it is 1 pound",
                  "F:4: max_topics: must be a number from 1 to 1000000000; it is 0",
                  "F:5: durability: must be one of fsync, os; it is maybe",
                  "F:7: push.max_requests: must be a number from 1 to 100000; it is 100001",
                  "F:8: push.refuse_private: must be true or false; it is si",
                  "F:9: push.ca: there is no such file; it is /nowhere.pem"));
}

TEST_F(ConfigTest, NumbersThatAreTooLargeOrNoneAtAllAreRefused) {
  for (const char* text :
       {"99999999999999999999", "1e3", "1.5", "0x10", "", "+1", "1 000", "-1", "\"1 \""}) {
    EXPECT_THAT(MistakesOf(std::string("max_topics: ") + text + "\n"), testing::SizeIs(1)) << text;
  }
  for (const char* text :
       {"99999999999999999999", "2000TiB", "-1", "1.5GiB", "GiB", "1GiBB", "1XB", "\" \""}) {
    EXPECT_THAT(MistakesOf(std::string("memory_budget: ") + text + "\n"), testing::SizeIs(1))
        << text;
  }
  for (const char* text : {"0s", "2h", "-5s", "1 m", "s", "inf", "1d"}) {
    EXPECT_THAT(MistakesOf(std::string("shutdown_timeout: ") + text + "\n"), testing::SizeIs(1))
        << text;
  }
  for (const char* text :
       {"host", ":1", "host:", "host:65536", "host:-1", "host:1a", "host:000001"}) {
    EXPECT_THAT(MistakesOf(std::string("http: \"") + text + "\"\n"), testing::SizeIs(1)) << text;
  }
}

TEST_F(ConfigTest, WrongTypesAreRefused) {
  EXPECT_THAT(MistakesOf("max_topics: [1]\n"
                         "listen: {host: a}\n"
                         "http:\n"
                         "push: 5\n"
                         "log: [json]\n"
                         "publish_limit: {topic: {batches: 1}}\n"
                         "project: [a]\n"
                         "topics: orders\n"),
              ElementsAre("F:1: max_topics: must be a number from 1 to 1000000000; it is a list",
                          "F:2: listen: must be HOST:PORT with a port from 0 to 65535; it is a map",
                          "F:3: http: must be HOST:PORT with a port from 0 to 65535; it is empty",
                          "F:4: push: must be a map of settings; it is a text",
                          "F:5: log: must be a map of settings; it is a list",
                          HasSubstr("F:6: publish_limit: must be a list, each SCOPE:LIMIT=N"),
                          "F:7: project: must be a text", "F:8: topics: must be a list"));
  EXPECT_THAT(MistakesOf("push:\nlog: {}\n"), IsEmpty()) << "a section may be empty";
}

TEST_F(ConfigTest, UnknownKeysAreRefusedAndTheNearestIsNamed) {
  EXPECT_THAT(MistakesOf("max-topics: 5\n"
                         "listne: a:1\n"
                         "push: {max_request: 5, colour: red}\n"
                         "pusch: {ca: x}\n"
                         "refuse_private: true\n"
                         "push.ca: x\n"
                         "subscriptoins: []\n"
                         "zzz: 1\n"),
              ElementsAre("F:1: max-topics: is not known; did you mean max_topics?",
                          "F:2: listne: is not known; did you mean listen?",
                          "F:3: push.max_request: is not known; did you mean push.max_requests?",
                          "F:3: push.colour: is not known; sluiced --help lists the settings",
                          "F:4: pusch: is not known; did you mean push?",
                          "F:5: refuse_private: is not known; did you mean push.refuse_private?",
                          "F:6: push.ca: is not known; did you mean push.ca?",
                          "F:7: subscriptoins: is not known; did you mean subscriptions?",
                          "F:8: zzz: is not known; sluiced --help lists the settings"));
}

TEST_F(ConfigTest, KeysThatAreThereTwiceAreRefusedWhereverTheyStand) {
  EXPECT_THAT(MistakesOf("max_topics: 5\n"
                         "push: {ca: '', ca: ''}\n"
                         "topics:\n"
                         "  - name: orders\n"
                         "    labels: {a: b, a: c}\n"
                         "max_topics: 5\n"),
              ElementsAre("F:2: push.ca: is there twice, first in line 2",
                          "F:5: topics.labels.a: is there twice, first in line 5",
                          "F:6: max_topics: is there twice, first in line 1"));
}

TEST_F(ConfigTest, MistakesOfTopicsAndSubscriptionsAreAllFound) {
  EXPECT_THAT(MistakesOf("topics:\n"
                         "  - {name: orders, retention: 1s}\n"
                         "  - [a]\n"
                         "  - x\n"
                         "subscriptions:\n"
                         "  - {name: billing, topic: orders, ack_deadline_seconds: 5}\n"
                         "  - {name: audit, topic: orders, dead_letter_policy: none}\n"),
              testing::UnorderedElementsAre(HasSubstr("F:2: topic.retention: 1s"),
                                            "F:3: topics: must be names, or maps of fields",
                                            HasSubstr("F:4: "), HasSubstr("F:6: "),
                                            HasSubstr("F:7: subscriptions: ")));
}

TEST_F(ConfigTest, WhatIsNoFileOrNoYamlIsRefused) {
  inputs_.file = folder_.path() + "/missing.yaml";
  EXPECT_THAT(Mistakes(),
              ElementsAre(inputs_.file + ": cannot be read: No such file or directory"));
  inputs_.file = folder_.path();
  EXPECT_THAT(Mistakes(), ElementsAre(inputs_.file + ": cannot be read: it is no regular file"));
  EXPECT_THAT(MistakesOf("topics: {\n"), ElementsAre(HasSubstr(": is not YAML: ")));
  EXPECT_THAT(MistakesOf("a: b: c\n"), ElementsAre(HasSubstr("F:1: is not YAML: ")));
  EXPECT_THAT(MistakesOf("push:\n\tca: x\n"), ElementsAre(HasSubstr(": is not YAML: ")));
  EXPECT_THAT(MistakesOf("- listen\n"),
              ElementsAre("F:1: must be a map of settings; it is a list"));
  EXPECT_THAT(MistakesOf("listen\n"), ElementsAre("F:1: must be a map of settings; it is a text"));
  EXPECT_THAT(MistakesOf("listen: \"\xff\"\n"), ElementsAre("F: is not YAML: not UTF-8"));
  EXPECT_THAT(MistakesOf("max_topics: 1\n---\nmax_topics: 2\n"),
              ElementsAre("F: has 2 documents, and one is read"));
  EXPECT_THAT(MistakesOf("? [a]\n: b\n"), ElementsAre("F:1: a key must be a text"));
  EXPECT_THAT(MistakesOf("topics: &a [*a]\n"), ElementsAre(HasSubstr("is nested too deep")));
  EXPECT_THAT(MistakesOf("topics: " + std::string(5000, '[') + "\n"), testing::SizeIs(1));
  EXPECT_THAT(MistakesOf(std::string("a\0b", 3)), testing::SizeIs(1));
  EXPECT_THAT(MistakesOf(""), IsEmpty());
  EXPECT_THAT(MistakesOf("# nothing\n"), IsEmpty());
}

TEST_F(ConfigTest, ADocumentThatGrowsByAliasesIsRefused) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    text += fmt::format(
        "a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i,
        i - 1);
  }
  EXPECT_THAT(MistakesOf(text), ElementsAre(HasSubstr("is too much")));
}

TEST_F(ConfigTest, VariablesAreCheckedLikeTheRest) {
  Environment({"SLUICED_PUSH_MAX_REQUESTS=many",
               "SLUICED_PUSH_REFUSE_PRIVATE=", "SLUICED_LOG_LEVEL=info,pull=debug", "HOME=/",
               "SLUICED_MAX_TOPIC=5", "SLUICED_SERVICE_HOST=10.0.0.1",
               "SLUICED_PORT_8085_TCP_ADDR=10.0.0.1", "SLUICED_PORT=tcp://a:1"});
  EXPECT_THAT(
      Mistakes(),
      ElementsAre("SLUICED_MAX_TOPIC: is not known; did you mean SLUICED_MAX_TOPICS?",
                  "SLUICED_PUSH_MAX_REQUESTS: must be a number from 1 to 100000; it is many",
                  "SLUICED_PUSH_REFUSE_PRIVATE: must be true or false; it is empty",
                  HasSubstr("SLUICED_LOG_LEVEL: there are the parts ")));
}

TEST_F(ConfigTest, AMistakeChangesNothing) {
  Settings settings;
  Setting* limits = settings.Find("publish_limit");
  ASSERT_EQ(limits->Set({"topic:batches=1"}, "here"), "");
  EXPECT_EQ(limits->Set({"server:batches=2", "galaxy:batches=1"}, "there"),
            "must begin with server:, project: or topic:; it is galaxy:batches=1");
  EXPECT_THAT(limits->value.texts(), ElementsAre("topic:batches=1,wait=1s"));
  EXPECT_EQ(limits->from, "here");
  EXPECT_EQ(settings.Find("listen")->Set({"a:1", "b:1"}, "there"), "is one value, not 2");
  EXPECT_EQ(settings.Find("listen")->Set({"a"}, "there"),
            "must be HOST:PORT with a port from 0 to 65535; it is a");
  EXPECT_EQ(settings.options().listen, Options().listen);
}

TEST_F(ConfigTest, WhatIsPrintedSaysWhereItIsFromAndIsReadAgain) {
  Write(
      "max_topics: 5\nlog: {level: 'info,push=debug'}\npublish_limit: "
      "['topic:batches=64,wait=250ms', "
      "'server:messages/s=20k']\n"
      "memory_budget: 1536MiB\ntopics: [a, b]\n");
  Environment({"SLUICED_PUSH_MAX_REQUESTS=9"});
  inputs_.flags = {{"data_dir", {"a: b # c"}}, {"push.refuse_private", {"true"}}};
  const std::string printed = SettingsAsYaml(Load());
  EXPECT_THAT(printed, HasSubstr("\nmax_topics: 5  # " + path_ + ":1\n"));
  EXPECT_THAT(printed, HasSubstr("\nhttp: 127.0.0.1:9095  # default\n"));
  EXPECT_THAT(printed, HasSubstr("\npush:\n  max_requests: 9  # SLUICED_PUSH_MAX_REQUESTS\n"));
  EXPECT_THAT(printed, HasSubstr("  # --data-dir\n"));
  EXPECT_THAT(printed, HasSubstr("# and 2 topics and subscriptions of "));
  const LoadedSettings before = Load();
  inputs_ = {};
  EXPECT_THAT(MistakesOf(printed), IsEmpty());
  const LoadedSettings after = Load();
  for (const Setting& setting : before.settings->all()) {
    EXPECT_EQ(setting.value.texts(), after.settings->Find(setting.path)->value.texts())
        << setting.path;
  }
}

TEST_F(ConfigTest, EveryDefaultIsReadAgain) {
  Settings settings;
  for (Setting& setting : settings.all()) {
    EXPECT_EQ(setting.Set(setting.standard, "here"), "") << setting.path;
    EXPECT_EQ(setting.value.texts(), setting.standard) << setting.path;
    EXPECT_FALSE(setting.help.empty() || setting.help.back() == '.') << setting.path;
  }
}

TEST_F(ConfigTest, SecretsAreShownNowhere) {
  EXPECT_EQ(WithoutUserinfo("https://user:p@ss@host/path@x?a@b"), "https://***@host/path@x?a@b");
  EXPECT_EQ(WithoutUserinfo("https://host/a@b"), "https://host/a@b");
  EXPECT_EQ(WithoutUserinfo("user@host"), "user@host");
  std::string kept;
  Setting secret = {"auth.key", OneOf(kept, {"", "swordfish"}), "", {.secret = true}, {}, ""};
  EXPECT_EQ(secret.Set({"sworfdish"}, ""), "must be one of , swordfish; it is ***");
  EXPECT_EQ(secret.Set({"swordfish"}, ""), "");
  EXPECT_THAT(secret.Shown(), ElementsAre("***"));
}

TEST_F(ConfigTest, FractionsAndAddressesThatMayBeMissing) {
  double fraction = 0.5;
  Value sample = Fraction(fraction, 0, 1);
  EXPECT_EQ(sample.read("1.01"), "must be a number from 0 to 1");
  EXPECT_NE(sample.read("nan"), "");
  EXPECT_EQ(sample.read("0.01"), "");
  EXPECT_THAT(sample.texts(), ElementsAre("0.01"));
  std::string endpoint;
  for (const std::string good : {"a:1", "https://a.b:443", ""}) {
    EXPECT_EQ(Endpoint(endpoint).read(good), "");
    EXPECT_EQ(endpoint, good);
  }
  for (const std::string bad :
       {"a", "https://a", "http://a:1", "https://a:1/v1", "https://:1", ":1"}) {
    EXPECT_EQ(
        Endpoint(endpoint).read(bad),
        "must be HOST:PORT or https://HOST:PORT with a port from 0 to 65535, or empty for none")
        << bad;
  }
  std::string address = "a:1";
  EXPECT_EQ(Address(address, Empty::kAllowed).read(""), "");
  EXPECT_EQ(address, "");
  EXPECT_NE(Address(address, Empty::kRefused).read(""), "");
}

TEST_F(ConfigTest, OneThatIsNearIsFoundAndNoneThatIsFar) {
  EXPECT_EQ(Nearest("Listen", {"http", "listen"}), "listen");
  EXPECT_EQ(Nearest("htpt", {"http", "listen"}), "http");
  EXPECT_EQ(Nearest("certt", {"tls.cert", "tls.key"}), "tls.cert");
  EXPECT_EQ(Nearest("ab", {"cd"}), "");
  EXPECT_EQ(Nearest("colour", {"listen", "max_topics"}), "");
  EXPECT_EQ(Nearest("", {"a"}), "");
  EXPECT_EQ(Nearest(std::string(1000, 'a'), {std::string(1000, 'a')}), "");
}

TEST_F(ConfigTest, TheReferenceIsThatOfThisServer) {
  std::stringstream committed;
  committed << std::ifstream(SLUICE_SOURCES "/docs/configuration.md").rdbuf();
  EXPECT_EQ(committed.str(), SettingsReference())
      << "sluiced --print-config-reference >docs/configuration.md";
}

}  // namespace
}  // namespace sluice::server
