// libcurl's own beginning, for all that use it.
//
// Thread rule: any thread.
#pragma once

#include <curl/curl.h>

namespace sluice::server {

// Once for the process.
inline void InitCurl() {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)initialized;
}

}  // namespace sluice::server
