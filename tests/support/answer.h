// The answer of a call that answers by callback, to wait for and to count.
//
//   Answer<absl::Status> answer;
//   log->Append(batch, answer.callback());
//   EXPECT_TRUE(answer.Wait().ok());
//
// Thread rule: callbacks may be called from any thread, also after the Answer is gone.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "gtest/gtest.h"

namespace sluice {

template <class T>
class Answer {
 public:
  std::function<void(T)> callback() {
    return [state = state_](T value) {
      MutexLock lock(state->mu);
      state->value.emplace(std::move(value));
      ++state->calls;
      state->came.NotifyAll();
    };
  }

  // Waits for the answer. No answer within a minute ends the test program.
  T Wait() {
    const SystemClock clock;
    const Instant end = clock.Now() + absl::Minutes(1);
    MutexLock lock(state_->mu);
    while (!state_->value) {
      if (clock.Now() >= end) {
        ADD_FAILURE() << "no answer within a minute";
        std::abort();
      }
      state_->came.WaitFor(lock, absl::Seconds(5));
    }
    return *state_->value;
  }

  // How often the callback was called so far.
  int calls() const {
    MutexLock lock(state_->mu);
    return state_->calls;
  }

 private:
  struct State {
    Mutex mu;
    CondVar came;
    std::optional<T> value GUARDED_BY(mu);
    int calls GUARDED_BY(mu) = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace sluice
