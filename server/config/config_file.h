// The file of --config: YAML, with the settings (settings.h) in sections, and the topics and
// subscriptions that are made at the start (startup_file.h).
//
//   listen: 0.0.0.0:8085
//   publish_limit: ["topic:batches=64", "server:bytes=1GiB"]
//   push: {max_requests: 500}
//   topics: [orders]
//
//   std::vector<Mistake> mistakes;
//   const ConfigFile file = ConfigFile::Read("sluice.yaml", &mistakes);
//   file.Apply(&settings, &mistakes);
//
// It is read whole before anything is believed: a key that is not known, or there twice, is a
// mistake, also below what is not looked at otherwise (the YAML library would take one of the two
// and say nothing). Every mistake is found, not the first alone, and names its line.
//
// Thread rule: a plain object.
#pragma once

#include <string>
#include <vector>

#include "server/config/settings.h"
#include "yaml-cpp/node/node.h"

namespace sluice::server {

class ConfigFile {
 public:
  // With mistakes that keep it from being read it is empty.
  static ConfigFile Read(const std::string& path, std::vector<Mistake>* mistakes);

  // Sets what the file says. Unknown keys are mistakes as well as wrong values.
  void Apply(Settings* settings, std::vector<Mistake>* mistakes) const;

  // A map, or null for an empty file.
  const YAML::Node& root() const { return root_; }
  // "FILE:LINE".
  std::string PlaceOf(const YAML::Mark& mark) const;

 private:
  explicit ConfigFile(std::string path) : path_(std::move(path)) {}

  void Parse(const std::string& text, std::vector<Mistake>* mistakes);
  void ApplyMap(const YAML::Node& map, const std::string& section, Settings* settings,
                std::vector<Mistake>* mistakes) const;
  void ApplyOne(const YAML::Node& node, const std::string& place, Setting* setting,
                std::vector<Mistake>* mistakes) const;

  std::string path_;
  YAML::Node root_{YAML::NodeType::Null};
};

}  // namespace sluice::server
