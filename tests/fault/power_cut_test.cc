// Cuts the power of a local store at random moments: a store lives through everything while each
// operation on its files is recorded, RocksDB's as well; then its folder is made as a disk may have
// it when the power goes after any of them, and opened. Under fsync everything acknowledged is
// there; under os it is the store as it was some time before.
//
//   build/dev/bin/power_cut_test --durability=fsync --cuts=500 --seed=7
//   build/dev/bin/power_cut_test --durability=fsync --skip-syncs=20     # the disk lies about 20 % of the syncs: must be seen
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>

#include "fmt/format.h"
#include "tests/fault/disk_image.h"
#include "tests/fault/disk_recorder.h"
#include "tests/fault/flags.h"
#include "tests/fault/store_life.h"
#include "tests/support/temp_folder.h"

namespace sluice {
namespace {

// As if these had not been made.
void SkipSyncs(std::vector<DiskOp>& ops, uint32_t percent, std::mt19937& random) {
  for (DiskOp& op : ops) {
    const bool sync = op.kind == DiskOp::Kind::kSync || op.kind == DiskOp::Kind::kSyncFolder;
    if (sync && random() % 100 < percent) op.offset = 0;
  }
}

int Run(const Flags& flags) {
  const Durability durability =
      flags.Text("durability", "fsync") == "os" ? Durability::kOs : Durability::kFsync;
  const auto promise = durability == Durability::kOs ? StoreLife::Promise::kSomeTime
                                                     : StoreLife::Promise::kAcknowledged;
  const auto seed = static_cast<uint32_t>(flags.Number("seed", std::random_device()()));
  const auto cuts = flags.Number("cuts", 50);
  const auto cuts_each =
      std::max<int64_t>(1, cuts / std::max<int64_t>(1, flags.Number("lives", 5)));
  const auto skip = static_cast<uint32_t>(flags.Number("skip-syncs", 0));
  fmt::print("seed {}\n", seed);
  std::mt19937 random(seed);
  int64_t bad = 0;
  int64_t done = 0;
  while (done < cuts) {
    TempFolder folder;
    const std::string live = folder.path() + "/live";
    DiskRecorder& disk = DiskRecorder::Start(live);
    StoreLife life(live + "/store", PosixFileSystem(), durability, static_cast<uint32_t>(random()),
                   [&disk] { return disk.Mark(); });
    const size_t first_cut = disk.Mark();
    life.Live(static_cast<int>(flags.Number("steps", 400)));
    std::vector<DiskOp> ops = disk.Stop();
    life.Close();
    if (skip > 0) SkipSyncs(ops, skip, random);
    for (int64_t i = 0; i < cuts_each && done < cuts; ++i, ++done) {
      const size_t cut = first_cut + random() % (ops.size() - first_cut);
      const std::string copy = fmt::format("{}/cut", folder.path());
      std::filesystem::remove_all(copy);
      DiskImage(ops, cut, random).WriteTo(live, copy);
      const std::string problem = life.Judge(copy + "/store", cut, promise);
      if (problem.empty()) continue;
      ++bad;
      fmt::print("cut {} after {} of {} operations: {}\n", done, cut, ops.size(), problem);
      if (const std::string keep = flags.Text("keep", ""); !keep.empty()) {
        DiskImage(ops, cut, random).WriteTo(live, fmt::format("{}/cut-{}", keep, done));
      }
    }
  }
  fmt::print("{} cuts under {}, {} bad\n", done, flags.Text("durability", "fsync"), bad);
  return bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Run(sluice::Flags(argc, argv)); }
