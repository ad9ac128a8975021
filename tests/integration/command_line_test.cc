// The command line in pipes: what it prints is printed before it is acknowledged.
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "tests/integration/fixture.h"
#include "tests/support/program.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class CommandLineTest : public ServerTest {
 protected:
  void SetUp() override {
    Start();
    CreateBoth("orders");
  }
  // `script` of a shell in the test's folder, in which $sluice is the program, with this server.
  Ended Shell(const std::string& script) {
    const std::string program = fmt::format("sluice='{} --server=127.0.0.1:{}'; cd {}; ", SLUICE,
                                            server_->grpc_port(), folder_.path());
    return RunProgram({"/bin/sh", "-c", program + script}, {"SLUICE_PROJECT=test"});
  }
};

TEST_F(CommandLineTest, WhatCannotBePrintedIsNotAcknowledged) {
  client_->Publish("orders", {"a"});
  const Ended ended = Shell("$sluice pull orders --count=1 > /dev/full");
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_THAT(ended.output,
              HasSubstr("standard output cannot be written: No space left on device"));
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 1);
  EXPECT_THAT(Shell("$sluice pull orders --count=1").output, HasSubstr(" a\n"));
}

TEST_F(CommandLineTest, WhatIsHeldIsPrintedAtOnce) {
  client_->Publish("orders", {"a"});
  const Ended ended = Shell(
      "mkfifo out; $sluice pull orders --ack=none --follow > out & head -n1 out; kill -INT $!; "
      "wait");
  EXPECT_THAT(ended.output, HasSubstr(" a\n"));
}

TEST_F(CommandLineTest, ADashIsStandardInput) {
  EXPECT_EQ(Shell("printf 'a\\nb\\n' | $sluice pub orders - --quiet").exit_code, 0);
  EXPECT_EQ(client_->Stats("orders").backlog_messages(), 2);
}

}  // namespace
}  // namespace sluice::server
