// A completion queue and who takes from it. As fast as it goes, one thread does it all: it begins
// calls, and when it may not begin another it takes what has ended, without a word to another
// thread. A load at a rate sleeps between its batches, and a thread of its own takes meanwhile.
//
//   Completions completions(options.paced, [this](void* tag, bool ok) {...});
//   stub.Call(..., completions.queue());
//   completions.WaitUntil(mu_, changed_, deadline, [this] { return HasRoom(); });
//
// Thread rule: WaitUntil is for one thread. The function is called by that thread or the other,
// with no lock held; what it changes it tells by `changed`. Lifetime: nothing is begun any more
// when it goes; what is under way ends first.
#pragma once

#include <functional>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "grpcpp/completion_queue.h"

namespace sluice::cli {

class Completions {
 public:
  using Ended = std::function<void(void* tag, bool ok)>;

  Completions(bool own_thread, Ended ended) : ended_(std::move(ended)) {
    if (own_thread) taker_ = std::thread([this] { TakeAll(); });
  }
  ~Completions() {
    queue_.Shutdown();
    taker_.joinable() ? taker_.join() : TakeAll();
  }
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  grpc::CompletionQueue* queue() { return &queue_; }

  // Until done(), which is called with `mu` held; false when it was not by then.
  template <class Done>
  bool WaitUntil(Mutex& mu, CondVar& changed, Instant deadline, Done&& done) EXCLUDES(mu) {
    const auto is_over = [&] {
      return deadline != Instant::Never() && SystemClock().Now() >= deadline;
    };
    for (;;) {
      {
        MutexLock lock(mu);
        while (taker_.joinable() && !done() && !is_over())
          changed.WaitFor(lock, deadline - SystemClock().Now());
        if (done()) return true;
      }
      if (is_over()) return false;
      TakeOne(deadline);
    }
  }

 private:
  // False when nothing had ended by then, or nothing can any more.
  bool TakeOne(Instant deadline) {
    void* tag = nullptr;
    bool ok = false;
    if (deadline == Instant::Never()) {
      if (!queue_.Next(&tag, &ok)) return false;
    } else {
      const auto wall_deadline = absl::ToChronoTime(absl::Now() + (deadline - SystemClock().Now()));
      if (queue_.AsyncNext(&tag, &ok, wall_deadline) != grpc::CompletionQueue::GOT_EVENT)
        return false;
    }
    ended_(tag, ok);
    return true;
  }
  void TakeAll() {
    while (TakeOne(Instant::Never())) {
    }
  }

  const Ended ended_;
  grpc::CompletionQueue queue_;
  std::thread taker_;
};

}  // namespace sluice::cli
