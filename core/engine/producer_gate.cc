#include "core/engine/producer_gate.h"

#include <utility>

#include "core/engine/topic.h"

namespace sluice {

bool ProducerGate::Begin(const ProducerTag& tag, Done* done) {
  MutexLock lock(mu_);
  auto [it, first] = under_way_.try_emplace(KeyOf(tag));
  if (!first) it->second.push_back(std::move(*done));
  return first;
}

std::vector<ProducerGate::Done> ProducerGate::End(const ProducerTag& tag) {
  MutexLock lock(mu_);
  return std::move(under_way_.extract(KeyOf(tag)).mapped());
}

}  // namespace sluice
