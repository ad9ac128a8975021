// Where the keys of JWTs come from: a file, or a URL that is asked every five minutes, and once
// more when a token names a key that is not there. While nothing can be had the keys that there are
// stay; a key that is not among newer ones is good for nothing more.
//
// Thread rule: Start and the destructor from one thread, the rest from any. A thread of its own
// waits for the network.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "server/security/auth/jwt.h"
#include "server/security/auth/security_metrics.h"

namespace sluice::server {

class KeySource {
 public:
  // A file must have keys, or the error says what is wrong with it; a URL may have none yet.
  // `changed` is called, from any thread, when there are other keys than before.
  static absl::StatusOr<std::unique_ptr<KeySource>> Start(const std::string& location,
                                                          const Clock& clock,
                                                          SecurityMetrics& metrics,
                                                          std::function<void()> changed);
  // Whether keys can be had there: the error that Start would give.
  static absl::Status Check(const std::string& location);
  ~KeySource();

  // Null while there are none.
  std::shared_ptr<const JwtKeys> keys() const EXCLUDES(mu_);

  // A token names a key that is not among `known`. True when there are newer keys or they are on
  // their way, so that it is worth asking again soon.
  bool AskForNewerThan(const JwtKeys& known) EXCLUDES(mu_);

  // The file is read again when it changed. For a URL nothing.
  absl::Status Reload() EXCLUDES(mu_);

 private:
  KeySource(std::string location, bool url, const Clock& clock, SecurityMetrics& metrics,
            std::function<void()> changed)
      : location_(std::move(location)),
        url_(url),
        clock_(clock),
        metrics_(metrics),
        keys_changed_(std::move(changed)) {}
  absl::Status ReadFile() EXCLUDES(mu_);
  // A JSON Web Key Set that was read.
  absl::Status Take(std::string text) EXCLUDES(mu_);
  void Refresh() EXCLUDES(mu_);
  void FetchEnded() REQUIRES(mu_);
  void Run() EXCLUDES(mu_);

  const std::string location_;
  const bool url_;
  const Clock& clock_;
  SecurityMetrics& metrics_;
  const std::function<void()> keys_changed_;

  mutable Mutex mu_;
  CondVar changed_;
  // What keys_ are made of.
  std::string text_ GUARDED_BY(mu_);
  std::shared_ptr<const JwtKeys> keys_ GUARDED_BY(mu_);
  bool wanted_ GUARDED_BY(mu_) = true;
  bool stopping_ GUARDED_BY(mu_) = false;
  // When the last fetch ended.
  Instant fetched_ GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace sluice::server
