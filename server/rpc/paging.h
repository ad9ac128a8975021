// Page tokens: where the next page begins, bound to the list they are for, so that a token that was
// forged or belongs to another list is refused. Stable: what is created or deleted meanwhile moves
// nothing else.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::server {

struct PageRequest {
  size_t size = 0;
  // The last name of the page before; empty for the first page.
  std::string after;
};

// INVALID_PAGE names the field. `list` says which list it is.
absl::StatusOr<PageRequest> ParsePage(std::string_view list, int32_t page_size,
                                      std::string_view page_token);

std::string PageToken(std::string_view list, std::string_view last_name);

// One page of the list called `list_name`: the request's size and token, and items(after, limit) in
// the order of their names. add(item) puts one into the response and returns its name;
// next_page_token is set where there are more.
template <class Request, class Response, class Items, class Add>
absl::Status ListPage(const std::string& list_name, const Request& request, Response* response,
                      Items&& items, Add&& add) {
  auto page = ParsePage(list_name, request.page_size(), request.page_token());
  if (!page.ok()) return page.status();
  size_t count = 0;
  std::string last;
  for (const auto& item : items(page->after, page->size + 1)) {
    if (count++ == page->size) {
      response->set_next_page_token(PageToken(list_name, last));
      break;
    }
    last = add(item);
  }
  return absl::OkStatus();
}

}  // namespace sluice::server
