#include "core/storage/local/rebuild.h"

#include <algorithm>
#include <utility>

namespace sluice {

void ViewRebuild::Batch(TopicId topic, const BatchLocation& batch) {
  batches_[topic].push_back(batch);
  Offset& end = ends_.try_emplace(topic, Offset(1)).first->second;
  end = std::max(end, batch.end());
}

void ViewRebuild::DamagedBatch(TopicId topic, const BatchLocation& batch) {
  if (batch.first == ends_.try_emplace(topic, Offset(1)).first->second) Batch(topic, batch);
}

void ViewRebuild::RemoveTopic(TopicId topic) {
  batches_.erase(topic);
  extents_.erase(topic);
  ends_.erase(topic);
}

void ViewRebuild::SetExtent(TopicId topic, Extent extent) {
  extents_[topic] = extent;
  Offset& end = ends_.try_emplace(topic, Offset(1)).first->second;
  end = std::max(end, extent.next);
}

void ViewRebuild::BeginSnapshot(JournalPosition at, Ids there) {
  begun_ = at;
  unconfirmed_ = std::move(there);
}

std::optional<ViewRebuild::Ids> ViewRebuild::EndSnapshot(JournalPosition begun) {
  if (begun_ != begun) return std::nullopt;
  base_ = begun.segment;
  begun_.reset();
  return std::exchange(unconfirmed_, {});
}

std::vector<TopicId> ViewRebuild::Topics() const {
  std::vector<TopicId> topics;
  for (const auto& [topic, batches] : batches_) topics.push_back(topic);
  return topics;
}

ViewRebuild::Extent ViewRebuild::extent(TopicId topic) const {
  const auto it = extents_.find(topic);
  return it == extents_.end() ? Extent() : it->second;
}

std::vector<BatchLocation> ViewRebuild::Take(TopicId topic) {
  auto found = batches_.extract(topic);
  if (found.empty()) return {};
  std::vector<BatchLocation> all = std::move(found.mapped());
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  // Of several with one offset the one that was written last, unless that cannot be read.
  std::vector<BatchLocation> taken;
  for (const BatchLocation& batch : all) {
    if (taken.empty() || taken.back().first != batch.first) {
      if (!taken.empty() && taken.back().damaged() && taken.back().end() > batch.first) {
        taken.back().count = static_cast<uint32_t>(batch.first - taken.back().first);
      }
      taken.push_back(batch);
    } else if (!batch.damaged()) {
      taken.back() = batch;
    }
  }
  return taken;
}

}  // namespace sluice
