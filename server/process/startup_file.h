// The part of the file of --config (config_file.h) that names topics and subscriptions to be made
// at the start where they are missing.
//
//   project: local                      # of short names; "local" when absent
//   topics:
//     - orders                          # a name alone, or the fields of sluice.v1.Topic:
//     - name: invoices
//       retention: 86400s
//   subscriptions:
//     - name: billing                   # the fields of sluice.v1.Subscription
//       topic: orders
//       ack_deadline_seconds: 30
//       dead_letter_policy: {dead_letter_topic: invoices, max_delivery_attempts: 5}
//
// What there is already stays as it is.
//
// Thread rule: called at the start, from one thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/engine/engine.h"
#include "server/config/config_file.h"
#include "sluice/v1/admin.pb.h"

namespace sluice::server {

template <class Resource>
struct FromFile {
  Resource resource;
  // "FILE:LINE".
  std::string place;
};

struct StartupFile {
  std::vector<FromFile<v1::Topic>> topics;
  std::vector<FromFile<v1::Subscription>> subscriptions;
};

// All that is wrong goes to `mistakes`, also what is seen only once it is put together.
StartupFile ReadStartup(const ConfigFile& file, std::vector<Mistake>* mistakes);
// The same, for how many it names alone (Inputs::read_rest).
size_t CountStartup(const ConfigFile& file, std::vector<Mistake>* mistakes);
// INVALID_ARGUMENT (INVALID_CONFIG) names the file, the line and what is wrong there, in settings
// too: the first of it.
absl::StatusOr<StartupFile> ReadStartupFile(const std::string& path);

// How many were made. Waits until they are durable. Errors name the place.
struct Made {
  int topics = 0;
  int subscriptions = 0;
};
absl::StatusOr<Made> CreateMissing(const StartupFile& file, bool push_to_private, Engine& engine);

}  // namespace sluice::server
