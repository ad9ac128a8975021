#include "server/http/detail.h"

#include <algorithm>
#include <functional>

#include "absl/time/clock.h"

namespace sluice::server {
namespace {

// A family that has a series for each row.
template <class Row>
struct Column {
  bool counter = false;
  const char* name;
  const char* help;
  std::function<double(const Row&)> value;
};

template <class Row>
void AddColumns(const char* label, const std::vector<Row>& rows,
                const std::vector<Column<Row>>& columns, Families* out) {
  for (const Column<Row>& column : columns) {
    for (const Row& row : rows) {
      const std::vector<Families::Label> labels = {{label, row.name}};
      if (column.counter) {
        out->Counter(column.name, column.help, labels, column.value(row));
      } else {
        out->Gauge(column.name, column.help, labels, column.value(row));
      }
    }
  }
}

// Of those up to the end of the page, the ones that are on it.
template <class T>
std::vector<T> LastPage(std::vector<T> all, size_t page) {
  all.erase(all.begin(),
            all.begin() + static_cast<ptrdiff_t>(std::min(page * kDetailsPerPage, all.size())));
  return all;
}

double Number(uint64_t value) { return static_cast<double>(value); }

struct TopicRow {
  std::string name;
  TopicStats stats;
};

}  // namespace

void AddBacklogs(const std::vector<SubscriptionRow>& rows, int64_t now_us, Families* out) {
  using Row = SubscriptionRow;
  AddColumns<Row>(
      "subscription", rows,
      {
          {false, "sluice_subscription_backlog_messages", "Messages not acknowledged.",
           [](const Row& row) { return static_cast<double>(row.stats.backlog_messages); }},
          {false, "sluice_subscription_backlog_bytes", "Bytes not acknowledged (estimated).",
           [](const Row& row) { return static_cast<double>(row.stats.backlog_bytes); }},
          {false, "sluice_subscription_oldest_unacked_age_seconds",
           "Age of the oldest message not acknowledged.",
           [now_us](const Row& row) {
             return static_cast<double>(now_us -
                                        row.stats.oldest_unacked_publish_time_us.value_or(now_us)) /
                    1e6;
           }},
      },
      out);
}

std::vector<prometheus::MetricFamily> TopicPage(const Engine& engine, size_t page) {
  using Row = TopicRow;
  std::vector<Row> rows;
  for (const auto& topic :
       LastPage(engine.ListTopics("", "", (page + 1) * kDetailsPerPage), page)) {
    rows.push_back({topic->config().name.full(), topic->stats()});
  }
  Families out;
  AddColumns<Row>(
      "topic", rows,
      {
          {false, "sluice_topic_retained_messages", "Messages that are stored.",
           [](const Row& row) { return Number(row.stats.extent.next - row.stats.extent.first); }},
          {false, "sluice_topic_retained_backlog_messages",
           "Of these, not acknowledged by every subscription.",
           [](const Row& row) { return Number(row.stats.retained.backlog); }},
          {false, "sluice_topic_retained_snapshot_messages", "Of these, kept by a snapshot alone.",
           [](const Row& row) { return Number(row.stats.retained.snapshot); }},
          {false, "sluice_topic_retained_unsubscribed_messages",
           "Of these, published while there was no subscription.",
           [](const Row& row) { return Number(row.stats.retained.no_subscription); }},
          {false, "sluice_topic_retained_acked_messages",
           "Of these, acknowledged by all and kept by an acked retention.",
           [](const Row& row) { return Number(row.stats.retained.acked); }},
          {false, "sluice_topic_retained_bytes", "Bytes of the batch records that are stored.",
           [](const Row& row) { return Number(row.stats.extent.bytes); }},
          {false, "sluice_topic_subscriptions", "Subscriptions.",
           [](const Row& row) { return row.stats.subscriptions; }},
          {true, "sluice_topic_published_messages_total", "Messages stored since the start.",
           [](const Row& row) { return Number(row.stats.published_messages); }},
          {true, "sluice_topic_published_bytes_total",
           "Bytes of the batch records stored since the start.",
           [](const Row& row) { return Number(row.stats.published_bytes); }},
      },
      &out);
  return out.Take();
}

std::vector<prometheus::MetricFamily> SubscriptionPage(const Engine& engine, size_t page) {
  using Row = SubscriptionRow;
  std::vector<Row> rows;
  for (const auto& subscription :
       LastPage(engine.ListSubscriptions("", "", (page + 1) * kDetailsPerPage), page)) {
    rows.push_back({subscription->config().name.full(), subscription->stats()});
  }
  Families out;
  AddBacklogs(rows, absl::ToUnixMicros(absl::Now()), &out);
  AddColumns<Row>(
      "subscription", rows,
      {
          {false, "sluice_subscription_leased_messages", "Messages delivered and not settled.",
           [](const Row& row) { return static_cast<double>(row.stats.leased_messages); }},
          {false, "sluice_subscription_held_messages",
           "Messages not due yet, behind others of their key, or of a lower priority.",
           [](const Row& row) { return Number(row.stats.held_messages); }},
          {false, "sluice_subscription_consumers", "Consumers attached.",
           [](const Row& row) { return row.stats.consumers; }},
          {false, "sluice_subscription_breaker_state",
           "Its circuit breaker: 0 closed, 1 open, 2 half-open.",
           [](const Row& row) { return static_cast<double>(row.stats.breaker); }},
          {true, "sluice_subscription_delivered_messages_total",
           "Messages handed to consumers since the start.",
           [](const Row& row) { return Number(row.stats.delivered_messages); }},
          {true, "sluice_subscription_redelivered_messages_total",
           "Deliveries after the first of a message since the start.",
           [](const Row& row) { return Number(row.stats.redelivered_messages); }},
          {true, "sluice_subscription_acked_messages_total",
           "Deliveries acknowledged since the start.",
           [](const Row& row) { return Number(row.stats.acked_messages); }},
          {true, "sluice_subscription_nacked_messages_total",
           "Deliveries given back since the start.",
           [](const Row& row) { return Number(row.stats.nacked_messages); }},
          {true, "sluice_subscription_expired_leases_total",
           "Deliveries whose ack deadline passed since the start.",
           [](const Row& row) { return Number(row.stats.expired_leases); }},
      },
      &out);
  return out.Take();
}

}  // namespace sluice::server
