#include "server/tracing/exporter.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "core/base/thread_name.h"
#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/log/log.h"

namespace sluice::server {
namespace {

constexpr absl::Duration kMaxBackoff = absl::Seconds(30);

// A random UUID (version 4 of RFC 9562).
std::string NewInstanceId() {
  absl::BitGen random;
  const uint64_t high = (absl::Uniform<uint64_t>(random) & ~uint64_t{0xF000}) | 0x4000;
  const uint64_t low = absl::Uniform<uint64_t>(random) >> 2 | uint64_t{1} << 63;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xFFFF,
                     high & 0xFFFF, low >> 48, low & 0xFFFF'FFFF'FFFF);
}

// What the collector asks to wait for: google.rpc.RetryInfo in the details of its status.
std::optional<absl::Duration> RetryDelayOf(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& detail : details.details()) {
    google::rpc::RetryInfo retry;
    if (!detail.UnpackTo(&retry)) continue;
    return std::max(absl::Seconds(retry.retry_delay().seconds()) +
                        absl::Nanoseconds(retry.retry_delay().nanos()),
                    absl::ZeroDuration());
  }
  return std::nullopt;
}

// Whether OTLP says to try again after this code. RESOURCE_EXHAUSTED is for good unless the
// collector says when it has recovered (https://opentelemetry.io/docs/specs/otlp/#failures).
bool MayBeRetried(grpc::StatusCode code, bool has_delay) {
  switch (code) {
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return has_delay;
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    default:
      return false;
  }
}

}  // namespace

SpanExporter::SpanExporter(std::unique_ptr<Collector> to, ExporterOptions options,
                           TraceMetrics& metrics)
    : collector_(std::move(to)),
      options_(options),
      instance_(NewInstanceId()),
      metrics_(metrics),
      thread_([this] {
        NameThisThread("traces");
        Run();
      }) {}

SpanExporter::~SpanExporter() {
  BeginStop(absl::ZeroDuration());
  Join();
}

void SpanExporter::Add(Span span) {
  bool wake = false;
  {
    MutexLock lock(mu_);
    if (stopping_) return metrics_.dropped_shutdown.Add();
    if (queue_.size() >= options_.queue) return metrics_.dropped_queue_full.Add();
    if (queue_.empty()) since_ = clock_.Now();
    queue_.push_back(std::move(span));
    metrics_.queued.Set(static_cast<int64_t>(queue_.size()));
    // Otherwise the thread looks by itself when their time has come.
    wake = queue_.size() == 1 || queue_.size() == options_.batch;
  }
  if (wake) changed_.NotifyOne();
}

void SpanExporter::BeginStop(absl::Duration timeout) {
  MutexLock lock(mu_);
  if (!stopping_) end_ = clock_.Now() + timeout;
  stopping_ = true;
  changed_.NotifyAll();
}

void SpanExporter::Join() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mu_);
    while (!ended_ && clock_.Now() < end_) changed_.WaitFor(lock, end_ - clock_.Now());
  }
  collector_->Cancel();
  thread_.join();
}

void SpanExporter::Run() {
  for (;;) {
    const std::vector<Span> spans = Take();
    if (spans.empty()) break;
    Send(spans);
  }
  MutexLock lock(mu_);
  ended_ = true;
  changed_.NotifyAll();
}

std::vector<Span> SpanExporter::Take() {
  std::vector<Span> spans;
  MutexLock lock(mu_);
  for (;;) {
    const absl::Duration wait =
        queue_.empty() ? absl::InfiniteDuration() : since_ + options_.interval - clock_.Now();
    if (stopping_ || queue_.size() >= options_.batch || wait <= absl::ZeroDuration()) break;
    changed_.WaitFor(lock, wait);
  }
  for (; !queue_.empty() && spans.size() < options_.batch; queue_.pop_front())
    spans.push_back(std::move(queue_.front()));
  metrics_.queued.Set(static_cast<int64_t>(queue_.size()));
  return spans;
}

absl::Duration SpanExporter::TimeLeft() {
  MutexLock lock(mu_);
  if (!stopping_) return options_.export_timeout;
  return std::clamp(end_ - clock_.Now(), absl::ZeroDuration(), options_.export_timeout);
}

bool SpanExporter::Wait(absl::Duration backoff) {
  const Instant until = clock_.Now() + backoff;
  MutexLock lock(mu_);
  while (!stopping_ && clock_.Now() < until) changed_.WaitFor(lock, until - clock_.Now());
  return !stopping_;
}

void SpanExporter::Send(const std::vector<Span>& spans) {
  const collector::ExportTraceServiceRequest request = ToOtlp(spans, instance_);
  absl::Duration backoff = options_.first_backoff;
  for (int attempt = 1;; ++attempt) {
    const absl::Duration timeout = TimeLeft();
    if (timeout <= absl::ZeroDuration()) return metrics_.dropped_shutdown.Add(spans.size());
    collector::ExportTraceServiceResponse response;
    const grpc::Status status = collector_->Export(request, timeout, &response);
    if (status.ok()) return Sent(response, spans.size());
    Failed(status);
    const auto delay = RetryDelayOf(status);
    if (!MayBeRetried(status.error_code(), delay.has_value()))
      return metrics_.dropped_rejected.Add(spans.size());
    if (attempt == options_.attempts) return metrics_.dropped_unreachable.Add(spans.size());
    if (!Wait(delay.value_or(backoff))) return metrics_.dropped_shutdown.Add(spans.size());
    backoff = std::min(2 * backoff, kMaxBackoff);
  }
}

void SpanExporter::Sent(const collector::ExportTraceServiceResponse& response, size_t spans) {
  const int64_t refused = response.partial_success().rejected_spans();
  const size_t rejected = std::min(static_cast<size_t>(std::max<int64_t>(refused, 0)), spans);
  metrics_.exported.Add(spans - rejected);
  metrics_.dropped_rejected.Add(rejected);
  if (std::exchange(told_away_, false)) Log("the trace collector takes spans again");
}

void SpanExporter::Failed(const grpc::Status& status) {
  metrics_.export_failures.Add();
  const Instant now = clock_.Now();
  if (now < next_log_) return;
  next_log_ = now + options_.log_interval;
  told_away_ = true;
  LogWarning("the trace collector does not take spans; they are dropped when the queue is full",
             {{"code", std::to_string(status.error_code())}, {"error", status.error_message()}});
}

}  // namespace sluice::server
