#include "client/cli/bench/channel.h"

#include "absl/time/clock.h"

namespace sluice::cli {

std::shared_ptr<grpc::Channel> OpenChannel(const Session& session) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  arguments.SetInt(GRPC_ARG_MINIMAL_STACK, 1);
  return client::OpenChannel(session.connection, arguments);
}

void WaitUntilReleased(const std::shared_ptr<grpc::Channel>& channel) {
  // A stream holds its channel for a moment after it has told its end.
  while (channel.use_count() > 1) absl::SleepFor(absl::Milliseconds(1));
}

}  // namespace sluice::cli
