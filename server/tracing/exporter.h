// Sends spans to a collector from a thread of its own, so that whoever ends a span never waits:
// what has no room in the queue is dropped and counted.
//
//   SpanExporter exporter(*GrpcCollector::Open(options), {.queue = 2048},
//   metrics); exporter.Add(std::move(span)); exporter.BeginStop(absl::Seconds(3));  ...
//   exporter.Join();
//
// A request has up to 512 spans, and goes when there are that many or the first has waited for a
// second. One that fails is tried again after 1 s, 2 s, 4 s, or after the delay that the collector
// asks for, where OTLP says that this helps, four times in all; then its spans are dropped.
// Meanwhile others wait in the queue. Memory is that of the queue and of one request.
//
// Thread rule: Add from any thread; BeginStop and Join from one.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "core/base/mutex.h"
#include "core/base/queue.h"
#include "server/tracing/collector.h"
#include "server/tracing/span.h"
#include "server/tracing/trace_metrics.h"

namespace sluice::server {

struct ExporterOptions {
  size_t queue = 2048;
  size_t batch = 512;
  absl::Duration interval = absl::Seconds(1);
  absl::Duration export_timeout = absl::Seconds(10);
  int attempts = 4;
  absl::Duration first_backoff = absl::Seconds(1);
  // Between two lines in the log about a collector that is away.
  absl::Duration log_interval = absl::Minutes(1);
};

class SpanExporter {
 public:
  SpanExporter(std::unique_ptr<Collector> to, ExporterOptions options, TraceMetrics& metrics);
  // As BeginStop(0) and Join().
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  void Add(Span span) EXCLUDES(mu_);

  // Takes no more spans; those that are there are sent within `timeout`, each tried once. Does not
  // wait.
  void BeginStop(absl::Duration timeout) EXCLUDES(mu_);
  // Until the thread has ended; a call to the collector that still waits when that time is over is
  // ended.
  void Join() EXCLUDES(mu_);

 private:
  void Run() EXCLUDES(mu_);
  // Waits for a request's worth of spans; an empty one is the end.
  std::vector<Span> Take() EXCLUDES(mu_);
  void Send(const std::vector<Span>& spans) EXCLUDES(mu_);
  // Waits before another try. False when there is none.
  bool Wait(absl::Duration backoff) EXCLUDES(mu_);
  // What a call may take now; 0 when the time is over.
  absl::Duration TimeLeft() EXCLUDES(mu_);
  void Sent(const collector::ExportTraceServiceResponse& response, size_t spans);
  void Failed(const grpc::Status& status);

  const std::unique_ptr<Collector> collector_;
  const ExporterOptions options_;
  const std::string instance_;
  const SystemClock clock_;
  TraceMetrics& metrics_;

  // Belong to the thread.
  bool told_away_ = false;
  Instant next_log_;

  Mutex mu_;
  CondVar changed_;
  Queue<Span> queue_ GUARDED_BY(mu_);
  // When the first of the queue came.
  Instant since_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  Instant end_ GUARDED_BY(mu_) = Instant::Never();
  bool ended_ GUARDED_BY(mu_) = false;

  std::thread thread_;
};

}  // namespace sluice::server
