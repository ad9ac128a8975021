#include "server/log/repeats.h"

#include <algorithm>

namespace sluice::server {

void Repeats::Take(const Key& key, Window* window, std::vector<HeldEvent>* out) {
  if (window->held == 0) return;
  window->last.emplace_back("repeated", std::to_string(window->held));
  out->push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), std::move(window->last)});
  window->held = 0;
}

// The one that will be over first goes.
void Repeats::MakePlace(std::vector<HeldEvent>* due) {
  const auto first =
      std::min_element(windows_.begin(), windows_.end(),
                       [](const auto& a, const auto& b) { return a.second.end < b.second.end; });
  Take(first->first, &first->second, due);
  windows_.erase(first);
}

bool Repeats::MayWrite(LogLevel level, LogPart part, std::string_view event,
                       const LogFields& fields, Instant now, std::vector<HeldEvent>* due) {
  Key key(level, part, event);
  auto it = windows_.find(key);
  if (it != windows_.end() && it->second.end <= now) {
    Take(key, &it->second, due);
    windows_.erase(it);
    it = windows_.end();
  }
  if (it == windows_.end()) {
    if (windows_.size() >= kMaxEvents) MakePlace(due);
    windows_[std::move(key)] = {now + kWindow, 1, 0, {}};
    return true;
  }
  Window& window = it->second;
  if (window.written < kWrittenAtOnce) {
    ++window.written;
    return true;
  }
  ++window.held;
  window.last.assign(fields.begin(), fields.end());
  return false;
}

std::vector<HeldEvent> Repeats::TakeDue(Instant now) {
  std::vector<HeldEvent> due;
  for (auto it = windows_.begin(); it != windows_.end();) {
    const auto here = it++;
    if (here->second.end > now) continue;
    Take(here->first, &here->second, &due);
    windows_.erase(here);
  }
  return due;
}

std::vector<HeldEvent> Repeats::TakeAll() {
  std::vector<HeldEvent> due;
  for (auto& [key, window] : windows_) Take(key, &window, &due);
  windows_.clear();
  return due;
}

}  // namespace sluice::server
