#include "client/cli/contexts.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

// The fields that are text, by their names in the file.
std::array<std::pair<const char*, std::string*>, 6> TextsOf(Context& context) {
  return {{{"server", &context.server},
           {"project", &context.project},
           {"ca", &context.ca},
           {"cert", &context.cert},
           {"key", &context.key},
           {"token_file", &context.token_file}}};
}

std::string Variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return value != nullptr ? value : "";
}

}  // namespace

std::string Contexts::Path() {
  const std::string config = Variable("XDG_CONFIG_HOME");
  return (config.empty() ? Variable("HOME") + "/.config" : config) + "/sluice/contexts.json";
}

absl::StatusOr<Contexts> Contexts::Load() {
  const std::string path = Path();
  std::ifstream in(path);
  if (!in) return Contexts();
  const Json file = Json::parse(in, nullptr, /*allow_exceptions=*/false);
  Contexts contexts;
  try {
    contexts.current = file.value("current", "");
    for (const auto& [name, stored] : file.at("contexts").items()) {
      Context& context = contexts.all[name];
      context.tls = stored.value("tls", false);
      for (const auto& [key, text] : TextsOf(context)) *text = stored.value(key, "");
    }
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(fmt::format("{}: cannot be read: {}", path, error.what()));
  }
  return contexts;
}

absl::Status Contexts::Save() const {
  const std::string path = Path();
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  Json file = {{"current", current}, {"contexts", Json::object()}};
  for (auto [name, context] : all) {
    Json& stored = file["contexts"][name] = Json::object();
    for (const auto& [key, text] : TextsOf(context)) {
      if (!text->empty()) stored[key] = *text;
    }
    if (context.tls) stored["tls"] = true;
  }
  // Whole or not at all, and for nobody else's eyes.
  const std::string half = path + ".new";
  {
    std::ofstream out(half);
    out << file.dump(2) << "\n";
    if (!out.flush()) return absl::ErrnoToStatus(errno, fmt::format("cannot write {}", half));
  }
  ::chmod(half.c_str(), S_IRUSR | S_IWUSR);
  std::filesystem::rename(half, path, failed);
  return failed ? absl::InternalError(fmt::format("cannot write {}: {}", path, failed.message()))
                : absl::OkStatus();
}

}  // namespace sluice::cli
