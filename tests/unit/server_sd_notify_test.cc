// What the service manager is told, and when.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "server/process/sd_notify.h"
#include "server/process/watchdog.h"
#include "tests/support/notify_socket.h"
#include "tests/support/temp_folder.h"

namespace sluice::server {
namespace {

using testing::MatchesRegex;

// Sets variables for as long as it lives.
class Variables {
 public:
  explicit Variables(std::initializer_list<std::pair<const char*, std::string>> variables) {
    for (const char* name : kNames) ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
    for (const auto& [name, value] : variables)
      ::setenv(name, value.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }
  ~Variables() {
    for (const char* name : kNames) ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
  }
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;

 private:
  static constexpr const char* kNames[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
};

class ServiceManagerTest : public testing::Test {
 protected:
  TempFolder folder_;
  const std::string path_ = folder_.path() + "/notify";
};

TEST_F(ServiceManagerTest, HearsOfEachStateInTheWordsOfTheProtocol) {
  NotifySocket socket(path_);
  const Variables variables({{"NOTIFY_SOCKET", path_}});
  const ServiceManager manager = ServiceManager::FromEnvironment();
  manager.Ready("gRPC on 127.0.0.1:1");
  EXPECT_EQ(socket.Receive(), "READY=1\nSTATUS=gRPC on 127.0.0.1:1");
  manager.Reloading();
  EXPECT_THAT(socket.Receive(), MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"));
  manager.Stopping();
  EXPECT_EQ(socket.Receive(), "STOPPING=1\nSTATUS=draining");
  manager.Alive();
  EXPECT_EQ(socket.Receive(), "WATCHDOG=1");
}

TEST_F(ServiceManagerTest, MayListenOnAnAbstractSocket) {
  const std::string name = "@sluice-test-" + std::to_string(::getpid());
  NotifySocket socket(name);
  ServiceManager(name).Alive();
  EXPECT_EQ(socket.Receive(), "WATCHDOG=1");
}

// The protocol is made of lines, so a second one would be a message of its own.
TEST_F(ServiceManagerTest, GetsAStatusAsOneLine) {
  NotifySocket socket(path_);
  ServiceManager(path_).Failed("cannot start:\nMAINPID=1");
  EXPECT_EQ(socket.Receive(), "STATUS=cannot start: MAINPID=1");
}

TEST_F(ServiceManagerTest, ThatIsNotThereIsNoTrouble) {
  ServiceManager("").Ready("to nobody");
  ServiceManager(path_).Ready("to nobody");
  ServiceManager("relative").Ready("to nobody");
  ServiceManager("/" + std::string(200, 'x')).Ready("to nobody");
}

TEST_F(ServiceManagerTest, SaysHowOftenItWantsToHear) {
  const std::string me = std::to_string(::getpid());
  const auto watchdog = [](std::initializer_list<std::pair<const char*, std::string>> set) {
    const Variables variables(set);
    return ServiceManager::FromEnvironment().watchdog();
  };
  EXPECT_EQ(watchdog({{"WATCHDOG_USEC", "3000000"}}), absl::Seconds(3));
  EXPECT_EQ(watchdog({{"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", me}}), absl::Seconds(3));
  EXPECT_EQ(watchdog({{"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", "1"}}), absl::ZeroDuration());
  EXPECT_EQ(watchdog({{"WATCHDOG_USEC", "soon"}}), absl::ZeroDuration());
  EXPECT_EQ(watchdog({}), absl::ZeroDuration());
}

TEST_F(ServiceManagerTest, HearsAgainAndAgainThatTheServerIsAlive) {
  NotifySocket socket(path_);
  const ServiceManager manager(path_, absl::Milliseconds(3));
  Watchdog watchdog(manager, [](absl::Duration) { return true; });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(socket.Receive(), "WATCHDOG=1");
}

TEST_F(ServiceManagerTest, HearsNothingWhileTheServerDoesNotAnswer) {
  NotifySocket socket(path_);
  const ServiceManager manager(path_, absl::Milliseconds(3));
  std::atomic<int> asked = 0;
  std::atomic<int> heard_too_early = 0;
  Watchdog watchdog(manager, [&](absl::Duration) {
    if (asked < 5 && socket.Has()) ++heard_too_early;
    return ++asked == 5;
  });
  EXPECT_EQ(socket.Receive(), "WATCHDOG=1");
  EXPECT_GE(asked, 5);
  EXPECT_EQ(heard_too_early, 0);
}

TEST_F(ServiceManagerTest, ThatWantsToHearNothingIsToldNothing) {
  const ServiceManager manager(path_);
  Watchdog watchdog(manager, [](absl::Duration) -> bool { std::abort(); });
}

}  // namespace
}  // namespace sluice::server
