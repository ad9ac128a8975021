// Many StreamingPull streams of google.pubsub.v1 on one subscription on which nothing happens: for
// what a stream costs the server in memory.
//
//   IdleStreams idle(session, subscription);
//   idle.Open(1'000);
//   ... // look at the server's process_resident_memory_bytes
//   idle.Close();
//
// Thread rule: Open and Close are for one thread; `count` may be called from any. Close comes
// before the destructor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/session.h"
#include "client/cpp/stream.h"
#include "core/base/mutex.h"

namespace sluice::cli {

// Opens that many for a time, says so, and returns the exit code.
int HoldIdleStreams(const Session& session, const std::string& subscription, size_t wanted,
                    absl::Duration duration);

class IdleStreams {
 public:
  IdleStreams(const Session& session, std::string subscription)
      : session_(session), subscription_(std::move(subscription)) {}

  // Returns when the server has answered on each of them; else says why one has ended, or that some
  // were not answered.
  absl::Status Open(size_t wanted) EXCLUDES(mu_);
  void Close() EXCLUDES(mu_);
  // Those that are open now.
  size_t count() const EXCLUDES(mu_);

 private:
  class Events;
  void Opened() EXCLUDES(mu_);
  void Closed(bool was_open, const absl::Status& status) EXCLUDES(mu_);
  void OpenOne(const std::shared_ptr<grpc::Channel>& channel) EXCLUDES(mu_);

  const Session& session_;
  const std::string subscription_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::shared_ptr<client::Stream>> streams_;

  mutable Mutex mu_;
  CondVar changed_;
  size_t open_ GUARDED_BY(mu_) = 0;
  size_t closed_ GUARDED_BY(mu_) = 0;
  // Why the first of them ended.
  absl::Status error_ GUARDED_BY(mu_);
};

}  // namespace sluice::cli
