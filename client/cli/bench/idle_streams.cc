#include "client/cli/bench/idle_streams.h"

#include <cstdio>
#include <utility>

#include "absl/time/clock.h"
#include "client/cli/bench/channel.h"
#include "client/cli/bench/stream_subscriber.h"
#include "core/base/clock.h"
#include "core/base/strings.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kOpenTimeout = absl::Seconds(30);

}  // namespace

class IdleStreams::Events final : public client::StreamEvents {
 public:
  explicit Events(IdleStreams* owner) : owner_(*owner) {}

  void OnMessage(const grpc::ByteBuffer&) override {
    if (!std::exchange(open_, true)) owner_.Opened();
  }
  void OnWritten() override {}
  void OnClosed(const absl::Status& status) override { owner_.Closed(open_, status); }

 private:
  IdleStreams& owner_;
  bool open_ = false;
};

absl::Status IdleStreams::Open(size_t wanted) {
  const SystemClock clock;
  for (size_t i = 0; i < wanted; ++i) {
    if (i % kStreamsPerConnection == 0) channels_.push_back(OpenChannel(session_));
    OpenOne(channels_.back());
  }
  const Instant end = clock.Now() + kOpenTimeout;
  MutexLock lock(mu_);
  while (open_ < wanted && error_.ok() && clock.Now() < end)
    changed_.WaitFor(lock, end - clock.Now());
  if (open_ == wanted || !error_.ok()) return error_;
  return absl::DeadlineExceededError(
      ToAbsl(fmt::format("{} of {} streams were answered", open_, wanted)));
}

void IdleStreams::OpenOne(const std::shared_ptr<grpc::Channel>& channel) {
  streams_.push_back(client::GrpcStreams(channel, kStreamingPull)(std::make_shared<Events>(this)));
  streams_.back()->Start();
  const grpc::Slice slice(OpeningRequest(subscription_, 1'000));
  streams_.back()->Write(grpc::ByteBuffer(&slice, 1));
}

void IdleStreams::Close() {
  for (const auto& stream : streams_) stream->Cancel();
  {
    MutexLock lock(mu_);
    while (closed_ < streams_.size()) changed_.Wait(lock);
  }
  streams_.clear();
  for (const auto& channel : channels_) WaitUntilReleased(channel);
  channels_.clear();
}

size_t IdleStreams::count() const {
  MutexLock lock(mu_);
  return open_;
}

void IdleStreams::Opened() {
  MutexLock lock(mu_);
  ++open_;
  changed_.NotifyAll();
}

void IdleStreams::Closed(bool was_open, const absl::Status& status) {
  MutexLock lock(mu_);
  open_ -= was_open ? 1 : 0;
  ++closed_;
  if (error_.ok())
    error_ = status.ok() ? absl::UnavailableError("the server ended a stream") : status;
  changed_.NotifyAll();
}

// What they are for, the server's memory, is to be looked at meanwhile.
int HoldIdleStreams(const Session& session, const std::string& subscription, size_t wanted,
                    absl::Duration duration) {
  IdleStreams idle(session, subscription);
  absl::Status status = idle.Open(wanted);
  size_t still_open = 0;
  if (status.ok()) {
    if (!session.json) {
      fmt::print("{} streams open\n", wanted);
      std::fflush(stdout);
    }
    absl::SleepFor(duration);
    still_open = idle.count();
  }
  idle.Close();
  if (!status.ok()) return Report(session, status);
  if (session.json) {
    fmt::print("{}\n",
               nlohmann::ordered_json{{"streams", wanted}, {"still_open", still_open}}.dump());
  } else {
    fmt::print("{} streams still open after {}\n", still_open, absl::FormatDuration(duration));
  }
  return still_open == wanted ? kOk : kFailed;
}

}  // namespace sluice::cli
