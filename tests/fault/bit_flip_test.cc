// Flips single bits in the files of a local store and opens it. A bit in the view costs a rebuild
// and nothing else; so does a view that is gone. With one in the journal the store opens too, says
// DATA_LOSS where it must, and never gives anything wrong.
//
//   build/dev/bin/bit_flip_test --flips=1000 --seed=7
//   build/dev/bin/bit_flip_test --fix-checksums=1      # a store that does not see flips in records: must be seen
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "core/storage/local/journal/segment.h"
#include "fmt/format.h"
#include "tests/fault/flags.h"
#include "tests/fault/store_life.h"
#include "tests/support/fault_files.h"
#include "tests/support/temp_folder.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr StoreLife::Mark kEnd = SIZE_MAX - 1;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<std::string> FilesOf(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Makes the checksum of the record around `at` hold again.
void FixChecksum(std::string* bytes, size_t at) {
  for (size_t record = kSegmentHeaderBytes; record + kRecordHeaderBytes <= bytes->size();) {
    const auto header = DecodeHeader(std::string_view(*bytes).substr(record));
    if (!header) return;
    const size_t end = record + RecordBytes(header->length);
    if (at < end) {
      const std::string payload = bytes->substr(record + kRecordHeaderBytes, header->length);
      return EncodeHeader(*header, payload, bytes->data() + record);
    }
    record = end;
  }
}

struct Flip {
  std::string file;
  size_t at = 0;
  int bit = 0;
};

Flip FlipOne(const std::string& folder, std::mt19937& random, bool fix_checksums) {
  Flip flip;
  const std::vector<std::string> files = FilesOf(fix_checksums ? folder + "/journal" : folder);
  flip.file = files[random() % files.size()];
  std::string bytes = ReadFile(flip.file);
  // In what is used of it.
  const size_t used = bytes.find_last_not_of('\0');
  flip.at = random() % (used == std::string::npos ? bytes.size() : used + 1);
  flip.bit = static_cast<int>(random() % 8);
  bytes[flip.at] = static_cast<char>(bytes[flip.at] ^ (1 << flip.bit));
  if (fix_checksums) FixChecksum(&bytes, flip.at);
  WriteFile(flip.file, bytes);
  return flip;
}

int Run(const Flags& flags) {
  const auto seed = static_cast<uint32_t>(flags.Number("seed", std::random_device()()));
  const int64_t flips = flags.Number("flips", 100);
  const int64_t flips_each =
      std::max<int64_t>(1, flips / std::max<int64_t>(1, flags.Number("lives", 4)));
  const bool fix_checksums = flags.Number("fix-checksums", 0) != 0;
  fmt::print("seed {}\n", seed);
  std::mt19937 random(seed);
  int64_t bad = 0;
  const auto judge = [&](StoreLife& life, const std::string& folder, StoreLife::Promise promise,
                         const std::string& what) {
    const std::string problem = life.Judge(folder, kEnd, promise);
    if (problem.empty()) return;
    ++bad;
    fmt::print("{}: {}\n", what, problem);
  };
  for (int64_t done = 0; done < flips;) {
    TempFolder folder;
    const std::string live = folder.path() + "/live";
    const std::string copy = folder.path() + "/copy";
    StoreLife::Mark now = 0;
    FaultFiles files;
    StoreLife life(live, files, Durability::kFsync, static_cast<uint32_t>(random()),
                   [&now] { return ++now; });
    life.Live(static_cast<int>(flags.Number("steps", 400)));
    // In order, or as if the process were killed.
    if (random() % 2 == 0) files.StopWorld();
    life.Close();
    const auto copy_anew = [&] {
      fs::remove_all(copy);
      fs::copy(live, copy, fs::copy_options::recursive);
    };
    copy_anew();
    fs::remove_all(copy + "/view");
    judge(life, copy, StoreLife::Promise::kAcknowledged, "without a view");
    for (int64_t i = 0; i < flips_each && done < flips; ++i, ++done) {
      copy_anew();
      const Flip flip = FlipOne(copy, random, fix_checksums);
      const bool in_journal = flip.file.find("/journal/") != std::string::npos;
      judge(life, copy,
            in_journal ? StoreLife::Promise::kNothingWrong : StoreLife::Promise::kAcknowledged,
            fmt::format("flip {}: bit {} of byte {} in {}", done, flip.bit, flip.at,
                        flip.file.substr(copy.size())));
    }
  }
  fmt::print("{} flips, {} bad\n", flips, bad);
  return bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Run(sluice::Flags(argc, argv)); }
