// Flags of the fault tests, as --name=value.
//
// Thread rule: constant after construction.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

namespace sluice {

class Flags {
 public:
  Flags(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view word(argv[i]);
      const size_t equals = word.find('=');
      if (word.substr(0, 2) != "--" || equals == std::string_view::npos) std::abort();
      values_[std::string(word.substr(2, equals - 2))] = word.substr(equals + 1);
    }
  }
  std::string Text(const std::string& name, const std::string& fallback) const {
    const auto it = values_.find(name);
    return it == values_.end() ? fallback : it->second;
  }
  int64_t Number(const std::string& name, int64_t fallback) const {
    const auto it = values_.find(name);
    return it == values_.end() ? fallback : std::atoll(it->second.c_str());
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace sluice
