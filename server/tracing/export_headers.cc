#include "server/tracing/export_headers.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"
#include "server/base/yaml_file.h"

namespace sluice::server {
namespace {

// gRPC's own limit for all metadata of a call is 8 KiB.
constexpr size_t kMaxHeaders = 16;
constexpr size_t kMaxHeaderBytes = 4096;

// gRPC ends the program for a header that it does not allow, so nothing else may get there: its
// rules are those of https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md,
// Custom-Metadata. Binary headers and its own are not for this.
bool IsName(std::string_view name) {
  const auto allowed = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed) &&
         !absl::StartsWith(ToAbsl(name), "grpc-") && !absl::EndsWith(ToAbsl(name), "-bin") &&
         name != "content-type" && name != "te";
}

bool IsValue(std::string_view value) {
  return !value.empty() &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

absl::StatusOr<ExportHeaders> ReadExportHeaders(const std::string& path) {
  ExportHeaders headers;
  if (path.empty()) return headers;
  auto text = ReadTextFile(path);
  if (!text.ok()) return text.status();
  int number = 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::string place = fmt::format("{}:{}", path, ++number);
    const auto wrong = [&](std::string_view why) {
      return Error(Reason::kInvalidConfig, fmt::format("{}: {}", place, why), {{"field", place}});
    };
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    if (line.size() > kMaxHeaderBytes)
      return wrong(fmt::format("a header has at most {} bytes", kMaxHeaderBytes));
    if (headers.size() == kMaxHeaders)
      return wrong(fmt::format("there may be {} headers", kMaxHeaders));
    const size_t colon = line.find(':');
    std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(line.substr(0, colon)));
    if (colon == line.npos || !IsName(name)) {
      return wrong(
          "must be name: value, the name of letters, digits, - _ and ., none of gRPC's own and "
          "none ending in -bin");
    }
    std::string value(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    if (!IsValue(value)) return wrong("the value must be printable ASCII, and be there");
    headers.emplace_back(std::move(name), std::move(value));
  }
  return headers;
}

}  // namespace sluice::server
