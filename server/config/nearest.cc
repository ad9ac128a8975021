#include "server/config/nearest.h"

#include <algorithm>
#include <cctype>
#include <numeric>

namespace sluice::server {
namespace {

std::string Plain(std::string_view text) {
  std::string plain(text);
  for (char& c : plain)
    c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return plain;
}

// Letters to insert, to take away, to change, or to exchange with their neighbour until one text is
// the other (the "optimal string alignment" distance).
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + other});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t kLongest = 100;
  if (word.size() > kLongest) return "";
  const std::string plain = Plain(word);
  // Short words have too many neighbours.
  size_t best = std::min<size_t>(plain.size() / 3, 3) + 1;
  std::string nearest;
  const auto consider = [&](std::string_view text, const std::string& meant) {
    const size_t distance = Distance(plain, text);
    if (distance >= best) return;
    best = distance;
    nearest = meant;
  };
  for (const std::string& name : known) consider(Plain(name), name);
  for (const std::string& name : known) {
    if (const size_t dot = name.rfind('.'); dot != std::string::npos)
      consider(Plain(name.substr(dot + 1)), name);
  }
  return nearest;
}

}  // namespace sluice::server
