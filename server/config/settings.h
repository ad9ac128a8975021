// All settings of the server, in one table (settings_table.cc): what each is called, what it may
// be, and where in Options it is kept. Flags, environment variables, the file of --config, --help,
// --print-config and docs/configuration.md come from it.
//
//   Settings settings;                                    // all at their defaults
//   Setting* setting = settings.Find("push.max_requests");
//   setting->flag();                                       // --push-max-requests
//   setting->variable();                                   // SLUICED_PUSH_MAX_REQUESTS
//   setting->Set({"500"}, "sluice.yaml:7");                // "", or what is wrong
//   settings.options().push.max_requests;                  // 500
//
// Thread rule: a plain object.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/config/options.h"
#include "server/config/value.h"

namespace sluice::server {

struct SettingTraits {
  // May change while the server runs (reloadable_settings.h).
  bool hot = false;
  // Never shown, in no message either. What may be in a URL before the @ is shown of none.
  bool secret = false;
};

struct Setting {
  // Its place in the file: "tls.cert" is `cert` in the section `tls`.
  std::string path;
  Value value;
  std::string help;
  SettingTraits traits;
  std::vector<std::string> standard;
  // What said so: a file with its line, a variable, a flag; empty for the default.
  std::string from;

  std::string flag() const;
  std::string variable() const;
  // The first part of the path, empty where there is but one.
  std::string section() const;

  // Takes the value, or says what is wrong; then nothing has changed.
  std::string Set(const std::vector<std::string>& texts, const std::string& place);
  // As it may be shown: secrets masked.
  std::vector<std::string> Shown() const { return Masked(value.texts()); }
  std::vector<std::string> Masked(std::vector<std::string> texts) const;
};

class Settings {
 public:
  Settings() { Declare(); }
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  const Options& options() const { return options_; }
  // The file that they came from.
  void SetFile(std::string path) { options_.config_file = std::move(path); }

  // Sections together, those without one first.
  std::vector<Setting>& all() { return all_; }
  const std::vector<Setting>& all() const { return all_; }
  // Null when there is none.
  Setting* Find(std::string_view path);
  bool IsSection(std::string_view path) const;
  // Their paths.
  std::vector<std::string> Names() const;

 private:
  void Declare();
  void Add(std::string path, Value value, std::string help, SettingTraits traits = {});

  Options options_;
  std::vector<Setting> all_;
};

// Something wrong in what the server was told: "sluice.yaml:3: push.max_requests: must be a number
// from 1 to 100000; it is 0".
struct Mistake {
  // A file with its line, a variable, a flag.
  std::string place;
  // The setting; empty where it is none, and where the place says it already.
  std::string path;
  std::string what;

  std::string ToText() const;
};

}  // namespace sluice::server
