#include "server/config/print_settings.h"

#include "absl/strings/escaping.h"
#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

namespace sluice::server {
namespace {

std::string Quoted(const std::string& text) {
  YAML::Emitter out;
  out << text;
  return out.c_str();
}

std::string AsYaml(const Setting& setting) {
  const std::vector<std::string> texts = setting.Shown();
  if (!setting.value.is_list()) return Quoted(texts.front());
  YAML::Emitter out;
  out << YAML::Flow << texts;
  return out.c_str();
}

std::string Or(const std::vector<std::string>& texts, std::string_view otherwise) {
  const std::string joined = fmt::format("{}", fmt::join(texts, " "));
  return joined.empty() ? std::string(otherwise) : fmt::format("`{}`", joined);
}

constexpr std::string_view kReferenceStart = R"(# Configuration

Every setting of `sluiced` is a flag, an environment variable and a line of the YAML file of `--config=FILE` (or
`SLUICED_CONFIG`). A flag beats a variable, a variable beats the file, the file beats the default; all of them are checked, those
too that are beaten. [Configuration](operations.md#configuration) says how to check a file and how to change it while the server runs.

    # sluice.yaml                      # the same as a flag, and as a variable:
    max_topics: 5000                   # --max-topics=5000           SLUICED_MAX_TOPICS=5000
    push:
      max_requests: 200                # --push-max-requests=200     SLUICED_PUSH_MAX_REQUESTS=200
    publish_limit:                     # --publish-limit=... twice   SLUICED_PUBLISH_LIMIT="server:... topic:..."
      - server:bytes=256MiB
      - topic:batches=64,wait=500ms

Durations have a unit (`1500ms`, `25s`, `1h30m`). Sizes are in bytes or have a unit: `KiB`, `MiB`, `GiB`, `TiB`, which may be
written `K` or `KB` and so on and are powers of 1,024 (in `publish_limit`, `k`, `M` and `G` are powers of 1,000). The file may also
have `project`, `topics` and `subscriptions`, [made at the start](operations.md#topics-and-subscriptions-from-a-file).

This page is what `sluiced --print-config-reference` prints.
)";

}  // namespace

std::string SettingsAsYaml(const LoadedSettings& loaded) {
  std::string out;
  std::string section;
  for (const Setting& setting : loaded.settings->all()) {
    if (setting.section() != section) out += fmt::format("{}:\n", section = setting.section());
    const std::string name =
        section.empty() ? setting.path : setting.path.substr(section.size() + 1);
    const std::string from = setting.from.empty() ? "default" : absl::Utf8SafeCEscape(setting.from);
    out +=
        fmt::format("{}{}: {}  # {}\n", section.empty() ? "" : "  ", name, AsYaml(setting), from);
  }
  if (loaded.resources > 0) {
    out += fmt::format("# and {} topics and subscriptions of {}\n", loaded.resources,
                       std::string(absl::Utf8SafeCEscape(loaded.settings->options().config_file)));
  }
  return out;
}

std::string SettingsReference() {
  const Settings settings;
  std::string out(kReferenceStart);
  std::string section = "-";
  for (const Setting& setting : settings.all()) {
    if (setting.section() != section) {
      section = setting.section();
      out += section.empty() ? "\n## The server\n" : fmt::format("\n## {}\n", section);
    }
    out += fmt::format("\n### `{}`\n\n{}.\n\n", setting.path, setting.help);
    out += fmt::format("- `{}`, `{}`\n", setting.flag(), setting.variable());
    out += fmt::format("- {}{}\n", setting.value.is_list() ? "a list, each " : "",
                       setting.value.must_be);
    out += fmt::format("- default: {}\n", Or(setting.standard, "none"));
    out += setting.traits.hot ? "- changes while the server runs\n" : "- needs a restart\n";
    if (setting.traits.secret) out += "- a secret: it is shown nowhere\n";
  }
  return out;
}

}  // namespace sluice::server
