// Runs engine and model side by side, seed after seed, until one finds something.
//
//   model_test --first=1 --seeds=1000            what the suite runs, in shards
//   model_test --seed=42 --verbose               one seed, every step printed
//   model_test --store=local ...                 over the local store instead of the one in memory
//
// A run that finds something says the seed, the step, the invariant and the command that plays it
// again, and fails.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "tests/model/player.h"

namespace sluice::model {
namespace {

constexpr int kMostFindings = 5;

struct Flags {
  uint64_t first = 1;
  uint64_t seeds = 1;
  uint64_t steps = 150;
  WorldOptions world;
};

// The number after `name`, when the argument begins with it.
bool ParseNumber(std::string_view argument, std::string_view name, uint64_t* number) {
  return argument.substr(0, name.size()) == name &&
         absl::SimpleAtoi(ToAbsl(argument.substr(name.size())), number);
}

bool ParseFlag(std::string_view argument, Flags* flags) {
  if (argument == "--verbose") return flags->world.verbose = true;
  if (argument == "--store=local") return flags->world.local = true;
  if (argument == "--store=memory") return true;
  return ParseNumber(argument, "--seed=", &flags->first) ||
         ParseNumber(argument, "--first=", &flags->first) ||
         ParseNumber(argument, "--seeds=", &flags->seeds) ||
         ParseNumber(argument, "--steps=", &flags->steps);
}

void Report(const World& world, const Flags& flags, uint64_t seed, int step) {
  for (const Findings::Finding& finding : world.findings().all()) {
    // The first few say it all.
    if (&finding - world.findings().all().data() == kMostFindings) break;
    fmt::print("seed {}, step {}: VIOLATED: {}\n    {}\n", seed, step, ToString(finding.invariant),
               finding.what);
  }
  fmt::print("play it again: {} --seed={} --steps={} --store={} --verbose\n",
             program_invocation_name, seed, flags.steps, flags.world.local ? "local" : "memory");
}

bool RunSeed(const Flags& flags, uint64_t seed, Truth* total) {
  World world(WorldFor(seed, flags.world));
  Player player(seed, &world);
  while (world.findings().empty() && player.steps() < static_cast<int>(flags.steps)) {
    if (flags.world.verbose) fmt::print("step {}\n", player.steps() + 1);
    player.Step();
  }
  if (world.findings().empty()) {
    if (flags.world.verbose) fmt::print("drain\n");
    world.Drain();
  }
  *total += world.truth();
  if (!world.findings().empty()) Report(world, flags, seed, player.steps());
  return world.findings().empty();
}

int Main(int count, char** arguments) {
  Flags flags;
  for (int i = 1; i < count; ++i) {
    if (!ParseFlag(arguments[i], &flags)) {
      fmt::print(
          stderr,
          "{}: flags are --seed= --first= --seeds= --steps= --store=memory|local --verbose\n",
          arguments[i]);
      return 2;
    }
  }
  Truth total;
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds; ++seed) {
    if (!RunSeed(flags, seed, &total)) return 1;
  }
  fmt::print("{} seeds of {} steps: nothing found\n", flags.seeds, flags.steps);
  fmt::print(
      "{} messages published, {} delivered ({} again), {} acked, {} nacked, {} expired, {} "
      "dead-lettered\n",
      total.published, total.delivered, total.redelivered, total.acked, total.nacked, total.expired,
      total.dead_lettered);
  return 0;
}

}  // namespace
}  // namespace sluice::model

int main(int count, char** arguments) { return sluice::model::Main(count, arguments); }
