#include "client/cpp/connection.h"

#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/message/limits.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/client_interceptor.h"

namespace sluice::client {
namespace {

// A response holds one largest message at the most beside 1 MiB of others.
constexpr int kMaxMessageBytes = 2 * static_cast<int>(kMaxRequestBytes);

// Who breaks the rule that the channel is let go of before is not waited for for ever.
constexpr absl::Duration kReleaseTimeout = absl::Seconds(10);

// Adds the token to each call. gRPC's own credentials for calls do not go with plain text.
class TokenInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(const std::function<std::string()>& token) : token_(token) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      const std::string token = token_();
      if (!token.empty())
        methods->GetSendInitialMetadata()->emplace("authorization", "Bearer " + token);
    }
    methods->Proceed();
  }

 private:
  const std::function<std::string()>& token_;
};

class TokenInterceptors final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptors(std::function<std::string()> token) : token_(std::move(token)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(token_);
  }

 private:
  const std::function<std::string()> token_;
};

int Millis(absl::Duration d) { return static_cast<int>(absl::ToInt64Milliseconds(d)); }

}  // namespace

Connection::Connection(std::shared_ptr<grpc::Channel> channel) : channel_(std::move(channel)) {
  timers_.Start();
}

// A stream holds the channel for a moment after it has told its end, on a thread of gRPC; were that
// the last to let go of it, gRPC would end its threads from one of them.
Connection::~Connection() {
  timers_.Stop();
  const absl::Time end = absl::Now() + kReleaseTimeout;
  while (channel_.use_count() > 1 && absl::Now() < end) absl::SleepFor(absl::Microseconds(100));
}

std::shared_ptr<grpc::Channel> OpenChannel(const ConnectionOptions& options,
                                           const grpc::ChannelArguments& arguments) {
  auto credentials =
      options.credentials != nullptr ? options.credentials : grpc::InsecureChannelCredentials();
  if (options.token == nullptr)
    return grpc::CreateCustomChannel(options.server, credentials, arguments);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<TokenInterceptors>(options.token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      options.server, credentials, arguments, std::move(interceptors));
}

std::shared_ptr<Connection> Connection::Open(const ConnectionOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(absl::Seconds(10)));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Streams have a backoff of their own; this one only must not be the longer of the two.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetUserAgentPrefix(options.user_agent);
  return std::shared_ptr<Connection>(new Connection(OpenChannel(options, arguments)));
}

}  // namespace sluice::client
