#include "server/process/startup_file.h"

#include <algorithm>
#include <future>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/engine/config.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "server/api/native/convert.h"
#include "server/config/config_file.h"
#include "server/push/endpoint.h"
#include "yaml-cpp/yaml.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;

absl::Status Invalid(const Mistake& mistake) {
  return Error(Reason::kInvalidConfig, mistake.ToText(),
               {{"field", "--config"}, {"value", mistake.place}});
}

// Scalars become strings, which protobuf's JSON takes for numbers too; true and false as they are,
// unless quoted.
Json ToJson(const YAML::Node& node) {
  if (node.IsMap()) {
    Json map = Json::object();
    for (const auto& entry : node) map[entry.first.as<std::string>()] = ToJson(entry.second);
    return map;
  }
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const auto& entry : node) list.push_back(ToJson(entry));
    return list;
  }
  if (!node.IsScalar()) return nullptr;
  const bool plain = node.Tag() == "?";
  if (plain && (node.Scalar() == "true" || node.Scalar() == "false"))
    return node.Scalar() == "true";
  return node.Scalar();
}

class Reader {
 public:
  Reader(const ConfigFile& file, std::vector<Mistake>* mistakes)
      : file_(file), mistakes_(mistakes) {}

  StartupFile Read() {
    StartupFile startup;
    const YAML::Node& root = file_.root();
    if (!root.IsMap()) return startup;
    if (const YAML::Node project = root["project"]; project && project.IsScalar()) {
      project_ = project.Scalar();
    } else if (project && !project.IsNull()) {
      Wrong(project, "project", "must be a text");
    }
    ReadList(root["topics"], "topics", {{"name", "topics"}}, &startup.topics);
    ReadList(root["subscriptions"], "subscriptions",
             {{"name", "subscriptions"}, {"topic", "topics"}}, &startup.subscriptions);
    return startup;
  }

 private:
  // Fields that are names, and the collections they are of.
  using Names = std::initializer_list<std::pair<const char*, const char*>>;

  void Wrong(const YAML::Node& node, std::string_view what, std::string_view wrong) const {
    mistakes_->push_back({file_.PlaceOf(node.Mark()), std::string(what), std::string(wrong)});
  }

  template <class Resource>
  void ReadList(const YAML::Node& list, std::string_view what, const Names& names,
                std::vector<FromFile<Resource>>* out) const {
    if (!list || list.IsNull()) return;
    if (!list.IsSequence()) return Wrong(list, what, "must be a list");
    for (const YAML::Node& node : list) {
      Json json = ToJson(node);
      if (json.is_string()) json = Json{{"name", json}};
      if (!json.is_object()) {
        Wrong(node, what, "must be names, or maps of fields");
        continue;
      }
      for (const auto& [field, collection] : names) MakeFull(collection, &json[field]);
      if (json.contains("dead_letter_policy") && json["dead_letter_policy"].is_object()) {
        MakeFull("topics", &json["dead_letter_policy"]["dead_letter_topic"]);
      }
      FromFile<Resource> read{{}, file_.PlaceOf(node.Mark())};
      const auto parsed = google::protobuf::util::JsonStringToMessage(json.dump(), &read.resource);
      if (parsed.ok()) {
        out->push_back(std::move(read));
      } else {
        Wrong(node, what, std::string(parsed.message()));
      }
    }
  }

  void MakeFull(std::string_view collection, Json* name) const {
    if (name->is_string() && name->get<std::string>().find('/') == std::string::npos) {
      *name = fmt::format("projects/{}/{}/{}", project_, collection, name->get<std::string>());
    }
  }

  const ConfigFile& file_;
  std::vector<Mistake>* const mistakes_;
  std::string project_ = "local";
};

// The same error, of something that stands there.
absl::Status At(const std::string& place, const absl::Status& status) {
  return Error(ReasonOf(status).value_or(Reason::kInternal),
               fmt::format("{}: {}", place, std::string(status.message())), MetadataOf(status));
}

// Waits for what `create` begins. False for what is there already.
template <class Config, class Create>
absl::StatusOr<bool> CreateOne(const std::string& place, const absl::StatusOr<Config>& config,
                               Create&& create) {
  absl::Status status = config.status();
  if (config.ok()) {
    std::promise<absl::Status> made;
    create(*config,
           [&made](const absl::StatusOr<Config>& result) { made.set_value(result.status()); });
    status = made.get_future().get();
  }
  if (absl::IsAlreadyExists(status)) return false;
  if (!status.ok()) return At(place, status);
  return true;
}

absl::StatusOr<SubscriptionConfig> Checked(const v1::Subscription& subscription,
                                           bool push_to_private) {
  auto config = FromProto(subscription);
  if (!config.ok()) return config;
  if (absl::Status status = CheckPush(*config, push_to_private); !status.ok()) return status;
  return config;
}

}  // namespace

StartupFile ReadStartup(const ConfigFile& file, std::vector<Mistake>* mistakes) {
  StartupFile startup = Reader(file, mistakes).Read();
  const auto check = [mistakes](const std::string& place, const absl::Status& status) {
    if (!status.ok()) mistakes->push_back({place, "", std::string(status.message())});
  };
  for (const auto& [topic, place] : startup.topics) {
    const auto config = FromProto(topic);
    check(place, config.ok() ? Validate(*config) : config.status());
  }
  for (const auto& [subscription, place] : startup.subscriptions) {
    const auto config = FromProto(subscription);
    check(place, config.ok() ? Validate(*config) : config.status());
    check(place, FromProto(subscription.start(), "start").status());
  }
  return startup;
}

size_t CountStartup(const ConfigFile& file, std::vector<Mistake>* mistakes) {
  const StartupFile startup = ReadStartup(file, mistakes);
  return startup.topics.size() + startup.subscriptions.size();
}

absl::StatusOr<StartupFile> ReadStartupFile(const std::string& path) {
  std::vector<Mistake> mistakes;
  const ConfigFile file = ConfigFile::Read(path, &mistakes);
  Settings settings;
  file.Apply(&settings, &mistakes);
  StartupFile startup = ReadStartup(file, &mistakes);
  if (!mistakes.empty()) return Invalid(mistakes.front());
  return startup;
}

absl::StatusOr<Made> CreateMissing(const StartupFile& file, bool push_to_private, Engine& engine) {
  Made made;
  for (const auto& [topic, place] : file.topics) {
    auto one = CreateOne(place, FromProto(topic),
                         [&](const TopicConfig& config, Engine::Done<TopicConfig> done) {
                           engine.CreateTopic(config, std::move(done));
                         });
    if (!one.ok()) return one.status();
    made.topics += *one ? 1 : 0;
  }
  for (const auto& [subscription, place] : file.subscriptions) {
    auto start = FromProto(subscription.start(), "start");
    if (!start.ok()) return At(place, start.status());
    auto one =
        CreateOne(place, Checked(subscription, push_to_private),
                  [&](const SubscriptionConfig& config, Engine::Done<SubscriptionConfig> done) {
                    engine.CreateSubscription(config, *start, std::move(done));
                  });
    if (!one.ok()) return one.status();
    made.subscriptions += *one ? 1 : 0;
  }
  return made;
}

}  // namespace sluice::server
