// A consumer for tests: keeps what it was given, in order.
//
// Thread rule: may be delivered to from any thread; read it after the engine is quiet.
#pragma once

#include <iterator>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "core/engine/consumer.h"
#include "core/message/message_view.h"

namespace sluice {

class FakeConsumer : public Consumer {
 public:
  void Deliver(std::vector<Delivery>& deliveries) override {
    MutexLock lock(mu_);
    std::move(deliveries.begin(), deliveries.end(), std::back_inserter(deliveries_));
  }
  void Ended(absl::Status why) override {
    MutexLock lock(mu_);
    ended_ = std::move(why);
  }

  // Everything delivered so far.
  std::vector<Delivery> deliveries() const {
    MutexLock lock(mu_);
    return deliveries_;
  }
  // The same, and forgets it.
  std::vector<Delivery> Take() {
    MutexLock lock(mu_);
    return std::exchange(deliveries_, {});
  }
  // The payloads of everything delivered since the last Take, forgotten too.
  std::vector<std::string> TakeData() {
    std::vector<std::string> data;
    for (const Delivery& delivery : Take()) {
      for (uint32_t i = delivery.begin; i < delivery.end; ++i) {
        data.emplace_back(MessageView(delivery.batch->message(i)).data());
      }
    }
    return data;
  }
  absl::Status ended() const {
    MutexLock lock(mu_);
    return ended_;
  }

 private:
  mutable Mutex mu_;
  std::vector<Delivery> deliveries_ GUARDED_BY(mu_);
  absl::Status ended_ GUARDED_BY(mu_);
};

}  // namespace sluice
