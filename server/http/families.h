// Families of Prometheus' data model, put together one series after the other.
//
//   Families families;
//   families.Counter("sluice_acked_messages_total", "Deliveries acknowledged in time.", ValueOf(metrics.acked_messages));
//   prometheus::TextSerializer().Serialize(families.Take());
//
// Thread rule: a plain object.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/metrics/metrics.h"
#include "prometheus/metric_family.h"

namespace sluice::server {

class Families {
 public:
  using Label = std::pair<std::string, std::string>;

  void Counter(const std::string& name, const std::string& help, double value) {
    Add(name, help, prometheus::MetricType::Counter).counter.value = value;
  }
  void Gauge(const std::string& name, const std::string& help, double value) {
    Add(name, help, prometheus::MetricType::Gauge).gauge.value = value;
  }
  // Series of one family; call them one after the other.
  void Counter(const std::string& name, const std::string& help, const std::vector<Label>& labels,
               double value) {
    AddLabelled(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
  }
  void Gauge(const std::string& name, const std::string& help, const std::vector<Label>& labels,
             double value) {
    AddLabelled(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
  }
  void Distribution(const std::string& name, const std::string& help, const Histogram& histogram) {
    prometheus::ClientMetric::Histogram& out =
        Add(name, help, prometheus::MetricType::Histogram).histogram;
    const std::vector<uint64_t> counts = histogram.counts();
    uint64_t cumulative = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      cumulative += counts[i];
      const double bound = i < histogram.bounds().size() ? histogram.bounds()[i]
                                                         : std::numeric_limits<double>::infinity();
      out.bucket.push_back({cumulative, bound});
    }
    out.sample_count = cumulative;
    out.sample_sum = histogram.sum();
  }
  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  prometheus::ClientMetric& Add(const std::string& name, const std::string& help,
                                prometheus::MetricType type) {
    families_.push_back({name, help, type, {{}}});
    return families_.back().metric.back();
  }
  prometheus::ClientMetric& AddLabelled(const std::string& name, const std::string& help,
                                        prometheus::MetricType type,
                                        const std::vector<Label>& labels) {
    if (families_.empty() || families_.back().name != name)
      families_.push_back({name, help, type, {}});
    prometheus::ClientMetric& metric = families_.back().metric.emplace_back();
    for (const auto& [label, value] : labels) metric.label.push_back({label, value});
    return metric;
  }

  std::vector<prometheus::MetricFamily> families_;
};

inline double ValueOf(const Counter& counter) { return static_cast<double>(counter.value()); }
inline double ValueOf(const Gauge& gauge) { return static_cast<double>(gauge.value()); }

}  // namespace sluice::server
