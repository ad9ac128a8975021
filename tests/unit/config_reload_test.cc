// Settings read again while the server runs: by hand, and looked at by hand.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "server/config/reloadable_settings.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

namespace fs = std::filesystem;

class ConfigReloadTest : public testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  void Begin() {
    inputs_.file = path_;
    LoadedSettings loaded = LoadSettings(inputs_);
    ASSERT_THAT(loaded.mistakes, IsEmpty());
    settings_ = std::make_unique<ReloadableSettings>(inputs_, std::move(loaded), metrics_);
    settings_->Add({.name = "levels", .reload = [this](const Options& now) {
                      told_.push_back(ToText(now.log_levels));
                      return absl::OkStatus();
                    }});
  }
  // What the listener was told since the last call.
  std::vector<std::string> Told() { return std::exchange(told_, {}); }

  TempFolder folder_;
  std::string path_ = folder_.path() + "/config.yaml";
  Inputs inputs_;
  ConfigMetrics metrics_;
  std::unique_ptr<ReloadableSettings> settings_;
  std::vector<std::string> told_;
};

TEST_F(ConfigReloadTest, WhatMayChangeDoesAndTheRestStays) {
  Write("log: {level: info}\nmax_topics: 5\n");
  Begin();
  uint64_t topics = 0;
  settings_->Add({.name = "topics", .reload = [&](const Options& now) {
                    topics = now.max_topics;
                    return absl::OkStatus();
                  }});
  Write("log: {level: debug}\nmax_topics: 6\n");
  EXPECT_TRUE(settings_->Reload("test"));
  EXPECT_THAT(Told(), ElementsAre("debug"));
  EXPECT_EQ(topics, 5u);
  EXPECT_EQ(metrics_.reloads_ok.value(), 1u);
}

TEST_F(ConfigReloadTest, AMistakeKeepsEverythingAsItIs) {
  Write("log: {level: info}\n");
  Begin();
  metrics_.last_success_ms.Set(7);
  for (const char* text : {"log: {level: debug}\nmax_topics: 0\n", "log: {level: debug\n",
                           "log: {level: debug, level: debug}\n", "- a\n"}) {
    Write(text);
    EXPECT_FALSE(settings_->Reload("test"));
  }
  fs::remove(path_);
  EXPECT_FALSE(settings_->Reload("test"));
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(metrics_.reloads_failed.value(), 5u);
  EXPECT_EQ(metrics_.last_success_ms.value(), 7);
  Write("log: {level: error}\n");
  EXPECT_TRUE(settings_->Reload("test"));
  EXPECT_THAT(Told(), ElementsAre("error"));
  EXPECT_GT(metrics_.last_success_ms.value(), 7);
}

TEST_F(ConfigReloadTest, FlagsAndVariablesGoOnToBeatTheFile) {
  Write("log: {level: info}\n");
  inputs_.flags = {{"log.level", {"error"}}};
  Begin();
  Write("log: {level: debug}\n");
  EXPECT_TRUE(settings_->Reload("test"));
  EXPECT_THAT(Told(), ElementsAre("error"));
}

TEST_F(ConfigReloadTest, AListenerThatRefusesFailsTheReloadAndHoldsUpNoOther) {
  Write("");
  Begin();
  settings_->Add({.name = "certificates",
                  .reload = [](const Options&) { return absl::NotFoundError("no certificate"); }});
  int later = 0;
  settings_->Add({.name = "later", .reload = [&later](const Options&) {
                    ++later;
                    return absl::OkStatus();
                  }});
  EXPECT_FALSE(settings_->Reload("test"));
  EXPECT_EQ(Told().size(), 1u);
  EXPECT_EQ(later, 1);
  EXPECT_EQ(metrics_.reloads_failed.value(), 1u);
  EXPECT_EQ(metrics_.reloads_ok.value(), 0u);
}

TEST_F(ConfigReloadTest, AChangeIsSeenOnceItHasBeenStillForALook) {
  Write("log: {level: info}\n");
  Begin();
  for (int i = 0; i < 3; ++i) settings_->Look();
  EXPECT_THAT(Told(), IsEmpty());
  Write("log: {level: debug}\n");
  settings_->Look();
  Write("log: {level: warning}\n");
  settings_->Look();
  EXPECT_THAT(Told(), IsEmpty());
  settings_->Look();
  EXPECT_THAT(Told(), ElementsAre("warning"));
  settings_->Look();
  settings_->Look();
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ConfigReloadTest, ABrokenFileIsReadOnceUntilItChangesAgain) {
  Write("log: {level: info}\n");
  Begin();
  Write("log: {level: loud}\n");
  for (int i = 0; i < 5; ++i) settings_->Look();
  EXPECT_EQ(metrics_.reloads_failed.value(), 1u);
  fs::remove(path_);
  for (int i = 0; i < 5; ++i) settings_->Look();
  EXPECT_EQ(metrics_.reloads_failed.value(), 2u);
  Write("log: {level: error}\n");
  for (int i = 0; i < 5; ++i) settings_->Look();
  EXPECT_THAT(Told(), ElementsAre("error"));
}

TEST_F(ConfigReloadTest, AChangeBetweenTheStartAndTheFirstLookIsSeen) {
  Write("log: {level: info}\n");
  inputs_.file = path_;
  LoadedSettings loaded = LoadSettings(inputs_);
  Write("log: {level: warning}\n");
  ReloadableSettings settings(inputs_, std::move(loaded), metrics_);
  settings.Look();
  settings.Look();
  EXPECT_EQ(metrics_.reloads_ok.value(), 1u);
}

TEST_F(ConfigReloadTest, AFileThatARequestHasReadIsNotReadAgainByTheLook) {
  Write("log: {level: info}\n");
  Begin();
  Write("log: {level: debug}\n");
  EXPECT_TRUE(settings_->Reload("SIGHUP"));
  settings_->Look();
  settings_->Look();
  EXPECT_EQ(metrics_.reloads_ok.value(), 1u);
}

// Kubernetes: the file is a link through `..data`, which is exchanged as a whole, with contents of
// the same size and time.
TEST_F(ConfigReloadTest, AConfigMapThatIsExchangedIsSeen) {
  const std::string& root = folder_.path();
  const auto version = [&](const std::string& name, const std::string& text) {
    fs::create_directory(root + "/" + name);
    const std::string file = root + "/" + name + "/config.yaml";
    std::ofstream(file) << text;
    const timespec times[2] = {{1000, 0}, {1000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  };
  version("..1", "log: {level: debug}\n");
  version("..2", "log: {level: error}\n");
  fs::create_symlink("..1", root + "/..data");
  fs::create_symlink("..data/config.yaml", path_);
  Begin();
  settings_->Look();
  fs::create_symlink("..2", root + "/..data_tmp");
  fs::rename(root + "/..data_tmp", root + "/..data");
  settings_->Look();
  settings_->Look();
  EXPECT_THAT(Told(), ElementsAre("error"));
}

TEST_F(ConfigReloadTest, FilesOfListenersAreLookedAtToo) {
  Write("");
  Begin();
  const std::string certificate = folder_.path() + "/tls.crt";
  std::ofstream(certificate) << "a";
  settings_->Add({.name = "certificates",
                  .files =
                      [&](const Options&) {
                        return std::vector<std::string>{certificate, ""};
                      },
                  .reload = [](const Options&) { return absl::OkStatus(); }});
  std::ofstream(certificate) << "abc";
  settings_->Look();
  settings_->Look();
  EXPECT_EQ(metrics_.reloads_ok.value(), 1u);
}

TEST_F(ConfigReloadTest, WithoutAFileARequestStillTellsTheListeners) {
  settings_ = std::make_unique<ReloadableSettings>(Inputs(), LoadSettings({}), metrics_);
  int calls = 0;
  settings_->Add({.name = "tokens", .reload = [&calls](const Options&) {
                    ++calls;
                    return absl::OkStatus();
                  }});
  settings_->Look();
  EXPECT_TRUE(settings_->Reload("SIGHUP"));
  EXPECT_EQ(calls, 1);
}

TEST_F(ConfigReloadTest, ARequestIsServedByTheThread) {
  Write("log: {level: info}\n");
  Begin();
  settings_->Start();
  settings_->RequestReload();
  while (metrics_.reloads_ok.value() == 0) std::this_thread::yield();
  settings_->Stop();
  EXPECT_THAT(Told(), ElementsAre("info"));
}

}  // namespace
}  // namespace sluice::server
