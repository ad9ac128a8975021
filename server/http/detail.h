// Metrics of each topic and each subscription, a page at a time in the order of their names: there
// may be a million, which nobody wants in every scrape. /metrics has the sums, and the first few
// subscriptions.
//
// Thread rule: pure functions of what the engine says of itself.
#pragma once

#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "server/http/families.h"

namespace sluice::server {

inline constexpr size_t kDetailsPerPage = 1000;
inline constexpr size_t kMaxDetailPage = 9999;

struct SubscriptionRow {
  std::string name;
  SubscriptionStats stats;
};

// How far each is behind: part of both kinds of pages.
void AddBacklogs(const std::vector<SubscriptionRow>& rows, int64_t now_us, Families* out);

// Pages are counted from 0; behind the last one they are empty.
std::vector<prometheus::MetricFamily> TopicPage(const Engine& engine, size_t page);
std::vector<prometheus::MetricFamily> SubscriptionPage(const Engine& engine, size_t page);

}  // namespace sluice::server
