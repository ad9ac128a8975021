#include "server/rpc/paging.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "core/base/error.h"
#include "core/base/strings.h"
#include "fmt/format.h"

#define XXH_INLINE_ALL
#include "xxhash.h"

namespace sluice::server {
namespace {

constexpr size_t kDefaultPageSize = 100;
constexpr size_t kMaxPageSize = 1000;
constexpr size_t kDigestDigits = 16;

std::string Digest(std::string_view list, std::string_view name) {
  const std::string both = fmt::format("{}\n{}", list, name);
  return fmt::format("{:016x}", XXH3_64bits(both.data(), both.size()));
}

}  // namespace

absl::StatusOr<PageRequest> ParsePage(std::string_view list, int32_t page_size,
                                      std::string_view page_token) {
  if (page_size < 0) {
    return Error(Reason::kInvalidPage,
                 fmt::format("page_size: {}, but it must not be negative", page_size),
                 {{"field", "page_size"}, {"value", std::to_string(page_size)}, {"limit", "0"}});
  }
  PageRequest page;
  page.size =
      page_size == 0 ? kDefaultPageSize : std::min(static_cast<size_t>(page_size), kMaxPageSize);
  if (page_token.empty()) return page;
  std::string decoded;
  if (absl::WebSafeBase64Unescape(ToAbsl(page_token), &decoded) && decoded.size() > kDigestDigits) {
    page.after = decoded.substr(kDigestDigits);
    if (decoded.substr(0, kDigestDigits) == Digest(list, page.after)) return page;
  }
  return Error(Reason::kInvalidPage, "page_token: not a token of this list",
               {{"field", "page_token"}});
}

std::string PageToken(std::string_view list, std::string_view last_name) {
  return absl::WebSafeBase64Escape(ToAbsl(fmt::format("{}{}", Digest(list, last_name), last_name)));
}

}  // namespace sluice::server
