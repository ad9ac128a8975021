#include "tests/fault/disk_image.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

void Put(std::string* bytes, uint64_t offset, std::string_view data) {
  if (bytes->size() < offset + data.size()) bytes->resize(offset + data.size());
  bytes->replace(offset, data.size(), data);
}

}  // namespace

DiskImage::DiskImage(const std::vector<DiskOp>& ops, size_t cut, std::mt19937& random)
    : random_(random) {
  for (size_t at = 0; at < cut; ++at) Apply(ops, at);
  for (const auto& [file, pending] : unsynced_data_) LoseData(ops, pending);
  for (const auto& [folder, pending] : unsynced_names_) LoseNames(ops, pending);
}

void DiskImage::Apply(const std::vector<DiskOp>& ops, size_t at) {
  const DiskOp& op = ops[at];
  // Those of `pending` that came before the sync began reach the disk.
  const auto sync = [&](Pending& pending, auto apply) {
    const auto end = std::lower_bound(pending.begin(), pending.end(), op.offset);
    std::for_each(pending.begin(), end, [&](size_t i) { apply(ops[i]); });
    pending.erase(pending.begin(), end);
  };
  switch (op.kind) {
    case DiskOp::Kind::kMakeFolder:
      folders_.push_back(op.name);
      return;
    case DiskOp::Kind::kCreate:
    case DiskOp::Kind::kRename:
    case DiskOp::Kind::kLink:
    case DiskOp::Kind::kRemove:
      unsynced_names_[FolderOf(op.name)].push_back(at);
      return;
    case DiskOp::Kind::kWrite:
    case DiskOp::Kind::kResize:
    case DiskOp::Kind::kGrow:
      unsynced_data_[op.file].push_back(at);
      return;
    case DiskOp::Kind::kSync:
      return sync(unsynced_data_[op.file], [this](const DiskOp& done) { ApplyData(done); });
    case DiskOp::Kind::kSyncFolder:
      return sync(unsynced_names_[op.name], [this](const DiskOp& done) { ApplyName(done); });
  }
}

void DiskImage::ApplyData(const DiskOp& op) {
  std::string& bytes = data_[op.file];
  if (op.kind == DiskOp::Kind::kWrite) Put(&bytes, op.offset, op.data);
  if (op.kind == DiskOp::Kind::kResize) bytes.resize(op.offset);
  if (op.kind == DiskOp::Kind::kGrow) bytes.resize(std::max<size_t>(bytes.size(), op.offset));
}

void DiskImage::ApplyName(const DiskOp& op) {
  if (op.kind == DiskOp::Kind::kCreate) names_[op.name] = op.file;
  if (op.kind == DiskOp::Kind::kRemove) {
    names_.erase(op.name);
    std::erase(folders_, op.name);
  }
  if (op.kind != DiskOp::Kind::kRename && op.kind != DiskOp::Kind::kLink) return;
  const auto it = names_.find(op.name);
  if (it == names_.end()) return;
  const uint64_t file = it->second;
  if (op.kind == DiskOp::Kind::kRename) names_.erase(it);
  names_[op.to] = file;
}

void DiskImage::Tear(const DiskOp& op) {
  const uint64_t sector = OneIn(2) ? 512 : 4096;
  for (uint64_t at = 0; at < op.data.size();) {
    const uint64_t end =
        std::min<uint64_t>((op.offset + at) / sector * sector + sector - op.offset, op.data.size());
    if (OneIn(2))
      Put(&data_[op.file], op.offset + at, std::string_view(op.data).substr(at, end - at));
    at = end;
  }
}

void DiskImage::LoseData(const std::vector<DiskOp>& ops, const Pending& pending) {
  enum { kNothing, kEverything, kSome };
  const auto reached = static_cast<int>(random_() % 4);
  if (reached == kNothing) return;
  for (const size_t i : pending) {
    const auto fate = reached == kEverything ? kEverything : static_cast<int>(random_() % 3);
    if (fate == kNothing) continue;
    fate == kSome&& ops[i].kind == DiskOp::Kind::kWrite ? Tear(ops[i]) : ApplyData(ops[i]);
  }
}

// A file system with a log loses the last changes of a folder; one without may lose any.
void DiskImage::LoseNames(const std::vector<DiskOp>& ops, const Pending& pending) {
  const bool in_order = OneIn(2);
  const size_t kept = random_() % (pending.size() + 1);
  for (size_t i = 0; i < pending.size(); ++i) {
    if (in_order ? i < kept : OneIn(2)) ApplyName(ops[pending[i]]);
  }
}

void DiskImage::WriteTo(const std::string& from, const std::string& to) const {
  std::filesystem::create_directories(to);
  const auto moved = [&](const std::string& path) { return to + path.substr(from.size()); };
  for (const std::string& folder : folders_) std::filesystem::create_directories(moved(folder));
  for (const auto& [name, file] : names_) {
    std::ofstream out(moved(name), std::ios::binary);
    if (const auto it = data_.find(file); it != data_.end()) out << it->second;
  }
}

}  // namespace sluice
