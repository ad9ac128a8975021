// Streams driven by hand, for the client's state machines.
//
//   FakeStreams<v1::PublishRequest> streams;
//   Publisher publisher(streams.factory(), clock, timers, "projects/test/topics/orders", {});
//   v1::PublishRequest request = streams.NextRequest();     // waits for it; the write is done with that
//   streams.Reply(response);                                 // on the stream that is open
//   streams.End(absl::UnavailableError("gone"));
//
// Thread rule: for one test thread; the code under test may write from any.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "client/cpp/stream.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "gtest/gtest.h"

namespace sluice {

template <class Request>
class FakeStreams {
 public:
  ~FakeStreams() {
    if (current() != nullptr) End(absl::CancelledError("the test is over"));
  }

  client::StreamFactory factory() {
    return [this](std::shared_ptr<client::StreamEvents> events) {
      auto stream = std::make_shared<FakeStream>(*this);
      MutexLock lock(mu_);
      EXPECT_EQ(events_, nullptr) << "a second stream while the first is open";
      events_ = std::move(events);
      state_ = State();
      ++opened_;
      changed_.NotifyAll();
      return stream;
    };
  }

  // The next request written, which tells its writer that it has gone. Fails the test after a
  // minute.
  Request NextRequest() {
    Request request = NextRequestUnwritten();
    Written();
    return request;
  }
  // The same, with the write still under way.
  Request NextRequestUnwritten() {
    MutexLock lock(mu_);
    WaitFor(lock, [this]() REQUIRES(mu_) { return !state_.requests.empty(); });
    Request request;
    if (state_.requests.empty()) return request;
    grpc::ProtoBufferReader reader(&state_.requests.front());
    EXPECT_TRUE(request.ParseFromZeroCopyStream(&reader));
    state_.requests.pop_front();
    return request;
  }

  void Written() {
    if (auto events = current()) events->OnWritten();
  }

  template <class Response>
  void Reply(const Response& response) {
    const grpc::Slice slice(response.SerializeAsString());
    ReplyBytes(grpc::ByteBuffer(&slice, 1));
  }
  void ReplyBytes(const grpc::ByteBuffer& bytes) { current()->OnMessage(bytes); }

  void End(const absl::Status& status) {
    std::shared_ptr<client::StreamEvents> events;
    {
      MutexLock lock(mu_);
      events = std::move(events_);
    }
    events->OnClosed(status);
  }

  void WaitForCloseWrites() {
    MutexLock lock(mu_);
    WaitFor(lock, [this]() REQUIRES(mu_) { return state_.writes_closed; });
  }
  // How many streams there were so far, and what is known of the last.
  int opened() const {
    MutexLock lock(mu_);
    return opened_;
  }
  size_t waiting_requests() const {
    MutexLock lock(mu_);
    return state_.requests.size();
  }
  bool cancelled() const {
    MutexLock lock(mu_);
    return state_.cancelled;
  }
  bool open() const { return current() != nullptr; }

 private:
  struct State {
    std::deque<grpc::ByteBuffer> requests;
    bool writes_closed = false;
    bool cancelled = false;
  };

  class FakeStream final : public client::Stream {
   public:
    explicit FakeStream(FakeStreams& owner) : owner_(owner) {}
    void Start() override {}
    void Write(const grpc::ByteBuffer& message) override {
      owner_.Change([&](State& state) { state.requests.push_back(message); });
    }
    void CloseWrites() override {
      owner_.Change([](State& state) { state.writes_closed = true; });
    }
    void Cancel() override {
      owner_.Change([](State& state) { state.cancelled = true; });
    }

   private:
    FakeStreams& owner_;
  };

  template <class Fn>
  void Change(Fn&& fn) {
    MutexLock lock(mu_);
    fn(state_);
    changed_.NotifyAll();
  }
  std::shared_ptr<client::StreamEvents> current() const {
    MutexLock lock(mu_);
    return events_;
  }
  template <class Condition>
  void WaitFor(MutexLock& lock, Condition&& condition) REQUIRES(mu_) {
    const SystemClock clock;
    const Instant end = clock.Now() + absl::Minutes(1);
    while (!condition() && clock.Now() < end) changed_.WaitFor(lock, absl::Seconds(1));
    EXPECT_TRUE(condition()) << "did not happen within a minute";
  }

  mutable Mutex mu_;
  CondVar changed_;
  std::shared_ptr<client::StreamEvents> events_ GUARDED_BY(mu_);
  State state_ GUARDED_BY(mu_);
  int opened_ GUARDED_BY(mu_) = 0;
};

}  // namespace sluice
