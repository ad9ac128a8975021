// The way of spans to a collector that is not always there.
#include "server/tracing/exporter.h"

#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "server/tracing/delivered_spans.h"
#include "tests/support/latch.h"

namespace sluice::server {
namespace {

// Answers as it is told, and remembers what it was sent.
class FakeCollector final : public Collector {
 public:
  using Reply = std::function<grpc::Status(int call, collector::ExportTraceServiceResponse*)>;

  struct Seen {
    Mutex mu;
    CondVar changed;
    int calls GUARDED_BY(mu) = 0;
    std::vector<int> spans GUARDED_BY(mu);
    bool cancelled GUARDED_BY(mu) = false;
    bool hangs GUARDED_BY(mu) = false;

    std::vector<int> all() {
      MutexLock lock(mu);
      return spans;
    }
    void WaitForCalls(int wanted) {
      MutexLock lock(mu);
      while (calls < wanted) changed.Wait(lock);
    }
  };

  FakeCollector(std::shared_ptr<Seen> seen, Reply reply)
      : seen_(std::move(seen)), reply_(std::move(reply)) {}

  grpc::Status Export(const collector::ExportTraceServiceRequest& request, absl::Duration,
                      collector::ExportTraceServiceResponse* response) override {
    MutexLock lock(seen_->mu);
    const int call = seen_->calls++;
    seen_->spans.push_back(request.resource_spans(0).scope_spans(0).spans_size());
    seen_->changed.NotifyAll();
    while (seen_->hangs && !seen_->cancelled) seen_->changed.Wait(lock);
    if (seen_->cancelled) return grpc::Status::CANCELLED;
    return reply_ ? reply_(call, response) : grpc::Status::OK;
  }
  void Cancel() override {
    MutexLock lock(seen_->mu);
    seen_->cancelled = true;
    seen_->changed.NotifyAll();
  }

 private:
  const std::shared_ptr<Seen> seen_;
  const Reply reply_;
};

class ExporterTest : public ::testing::Test {
 protected:
  void Start(const FakeCollector::Reply& reply = nullptr) {
    exporter_ = std::make_unique<SpanExporter>(std::make_unique<FakeCollector>(seen_, reply),
                                               options_, metrics_);
  }
  void Add(int spans) {
    for (int i = 0; i < spans; ++i) exporter_->Add(Span());
  }
  void Stop(absl::Duration timeout = absl::Minutes(1)) {
    exporter_->BeginStop(timeout);
    exporter_->Join();
  }
  static FakeCollector::Reply Always(grpc::StatusCode code) {
    return [code](int, auto*) { return grpc::Status(code, "no"); };
  }

  ExporterOptions options_ = {.interval = absl::Hours(1), .first_backoff = absl::Microseconds(1)};
  TraceMetrics metrics_;
  std::shared_ptr<FakeCollector::Seen> seen_ = std::make_shared<FakeCollector::Seen>();
  std::unique_ptr<SpanExporter> exporter_;
};

TEST_F(ExporterTest, SendsWhatIsThereWhenItStops) {
  Start();
  Add(3);
  Stop();
  EXPECT_EQ(seen_->all(), std::vector<int>{3});
  EXPECT_EQ(metrics_.exported.value(), 3u);
  EXPECT_EQ(metrics_.queued.value(), 0);
}

TEST_F(ExporterTest, SendsWhenTheFirstHasWaited) {
  options_.interval = absl::Milliseconds(1);
  Start();
  Add(1);
  seen_->WaitForCalls(1);
  EXPECT_EQ(seen_->all(), std::vector<int>{1});
}

TEST_F(ExporterTest, SendsWhenThereAreEnough) {
  Start();
  Add(512);
  seen_->WaitForCalls(1);
  EXPECT_EQ(seen_->all(), std::vector<int>{512});
}

TEST_F(ExporterTest, ARequestHasNoMoreThanABatch) {
  options_.batch = 10;
  {
    MutexLock lock(seen_->mu);
    seen_->hangs = true;
  }
  Start();
  Add(10);
  seen_->WaitForCalls(1);
  Add(25);
  {
    MutexLock lock(seen_->mu);
    seen_->hangs = false;
    seen_->changed.NotifyAll();
  }
  Stop();
  EXPECT_EQ(seen_->all(), (std::vector<int>{10, 10, 10, 5}));
}

TEST_F(ExporterTest, AFullQueueDropsAndDoesNotWait) {
  options_.queue = 100;
  options_.batch = 10;
  {
    MutexLock lock(seen_->mu);
    seen_->hangs = true;
  }
  Start();
  Add(10);
  seen_->WaitForCalls(1);
  Add(150);
  EXPECT_EQ(metrics_.dropped_queue_full.value(), 50u);
  EXPECT_EQ(metrics_.queued.value(), 100);
  Stop(absl::ZeroDuration());
  EXPECT_EQ(metrics_.exported.value(), 0u);
  EXPECT_EQ(metrics_.dropped_shutdown.value(), 110u);
}

TEST_F(ExporterTest, TriesAgainWhereThatHelps) {
  Start([](int call, auto*) {
    return call < 2 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "away") : grpc::Status::OK;
  });
  Add(512);
  seen_->WaitForCalls(3);
  Stop();
  EXPECT_EQ(metrics_.exported.value(), 512u);
  EXPECT_EQ(metrics_.export_failures.value(), 2u);
}

grpc::Status Throttled(absl::Duration delay) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(delay)));
  google::rpc::Status details;
  details.add_details()->PackFrom(retry);
  return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too much", details.SerializeAsString()};
}

TEST_F(ExporterTest, TriesAgainAfterTheDelayThatTheCollectorAsksFor) {
  // Not after its own.
  options_.first_backoff = absl::Hours(1);
  constexpr absl::Duration kDelay = absl::Milliseconds(20);
  const SystemClock clock;
  std::array<Instant, 2> called;
  Start([&](int call, auto*) {
    called.at(static_cast<size_t>(call)) = clock.Now();
    return call == 0 ? Throttled(kDelay) : grpc::Status::OK;
  });
  Add(512);
  seen_->WaitForCalls(2);
  Stop();
  EXPECT_GE(called[1] - called[0], kDelay);
  EXPECT_EQ(metrics_.exported.value(), 512u);
}

TEST_F(ExporterTest, ACollectorThatHasNoRoomIsNotAskedAgainUnlessItSaysWhen) {
  Start(Always(grpc::StatusCode::RESOURCE_EXHAUSTED));
  Add(2);
  Stop();
  EXPECT_EQ(seen_->all().size(), 1u);
  EXPECT_EQ(metrics_.dropped_rejected.value(), 2u);
}

TEST_F(ExporterTest, GivesUpAfterSomeTries) {
  Start(Always(grpc::StatusCode::UNAVAILABLE));
  Add(512);
  seen_->WaitForCalls(4);
  Add(512);
  seen_->WaitForCalls(8);
  Stop();
  EXPECT_EQ(metrics_.export_failures.value(), 8u);
  EXPECT_EQ(metrics_.dropped_unreachable.value(), 1024u);
}

TEST_F(ExporterTest, ARefusalIsFinal) {
  Start(Always(grpc::StatusCode::INVALID_ARGUMENT));
  Add(2);
  Stop();
  EXPECT_EQ(seen_->all().size(), 1u);
  EXPECT_EQ(metrics_.dropped_rejected.value(), 2u);
}

TEST_F(ExporterTest, CountsWhatTheCollectorDidNotTake) {
  Start([](int, collector::ExportTraceServiceResponse* response) {
    response->mutable_partial_success()->set_rejected_spans(2);
    return grpc::Status::OK;
  });
  Add(5);
  Stop();
  EXPECT_EQ(metrics_.exported.value(), 3u);
  EXPECT_EQ(metrics_.dropped_rejected.value(), 2u);
}

TEST_F(ExporterTest, DoesNotWaitLongerForACollectorThatHangsThanItIsTold) {
  {
    MutexLock lock(seen_->mu);
    seen_->hangs = true;
  }
  Start();
  Add(600);
  seen_->WaitForCalls(1);
  Stop(absl::Milliseconds(10));
  EXPECT_EQ(metrics_.dropped_shutdown.value(), 600u);
}

TEST_F(ExporterTest, TakesNothingAfterItsEnd) {
  Start();
  Stop();
  Add(1);
  EXPECT_EQ(metrics_.dropped_shutdown.value(), 1u);
  EXPECT_TRUE(seen_->all().empty());
}

SpanContext ContextNumber(uint8_t number) {
  SpanContext context;
  context.trace_id[0] = 1;
  context.span_id[0] = number;
  context.flags = SpanContext::kSampledFlag;
  return context;
}

LeaseRange Leases(uint64_t first, uint64_t last) { return {LeaseId(first), LeaseId(last)}; }

TEST(DeliveredSpansTest, AnAcknowledgementFindsTheDeliveriesOfItsLeases) {
  auto delivered = std::make_unique<DeliveredSpans>();
  delivered->Add(SubscriptionId(1), Leases(1, 10), ContextNumber(1));
  delivered->Add(SubscriptionId(1), Leases(11, 20), ContextNumber(2));
  delivered->Add(SubscriptionId(2), Leases(1, 10), ContextNumber(3));
  const auto find = [&](uint64_t first, uint64_t last) {
    std::vector<int> spans;
    for (const SpanContext& context :
         delivered->Find(SubscriptionId(1), {Leases(first, last)}).sampled) {
      spans.push_back(context.span_id[0]);
    }
    return spans;
  };
  EXPECT_EQ(find(1, 1), std::vector<int>{1});
  EXPECT_EQ(find(5, 11), (std::vector<int>{2, 1}));
  EXPECT_EQ(find(21, 30), std::vector<int>{});
}

TEST(DeliveredSpansTest, ForgetsTheOldest) {
  auto delivered = std::make_unique<DeliveredSpans>();
  for (uint64_t i = 1; i <= 65; ++i)
    delivered->Add(SubscriptionId(1), Leases(i, i), ContextNumber(static_cast<uint8_t>(i)));
  EXPECT_TRUE(delivered->Find(SubscriptionId(1), {Leases(1, 1)}).sampled.empty());
  EXPECT_EQ(delivered->Find(SubscriptionId(1), {Leases(2, 2)}).sampled.size(), 1u);
}

}  // namespace
}  // namespace sluice::server
