#include "server/config/startup_file.h"

#include <algorithm>
#include <future>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "server/native/convert.h"
#include "server/push/endpoint.h"
#include "yaml-cpp/yaml.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;

absl::Status Invalid(const std::string& place, std::string_view what) {
  return Error(Reason::kInvalidConfig, fmt::format("{}: {}", place, what), {{"field", "--config"}, {"value", place}});
}

std::string PlaceOf(const std::string& path, const YAML::Mark& mark) {
  return mark.is_null() ? path : fmt::format("{}:{}", path, mark.line + 1);
}

// Scalars become strings, which protobuf's JSON takes for numbers too; true and false as they are, unless quoted.
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
  if (plain && (node.Scalar() == "true" || node.Scalar() == "false")) return node.Scalar() == "true";
  return node.Scalar();
}

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  absl::StatusOr<StartupFile> Read() {
    const YAML::Node root = YAML::LoadFile(path_);
    StartupFile file;
    if (root.IsNull()) return file;
    if (!root.IsMap()) return Invalid(path_, "must be a map with topics and subscriptions");
    for (const auto& entry : root) {
      const auto key = entry.first.as<std::string>();
      if (key != "project" && key != "topics" && key != "subscriptions") {
        return Invalid(PlaceOf(path_, entry.first.Mark()),
                       fmt::format("{}: not known; there are project, topics, subscriptions", key));
      }
    }
    if (root["project"]) project_ = root["project"].as<std::string>();
    absl::Status status = ReadList(root["topics"], "topics", {{"name", "topics"}}, &file.topics);
    if (status.ok()) {
      status = ReadList(root["subscriptions"], "subscriptions", {{"name", "subscriptions"}, {"topic", "topics"}},
                        &file.subscriptions);
    }
    if (!status.ok()) return status;
    return file;
  }

 private:
  // Fields that are names, and the collections they are of.
  using Names = std::initializer_list<std::pair<const char*, const char*>>;

  template <class Resource>
  absl::Status ReadList(const YAML::Node& list, std::string_view what, const Names& names,
                        std::vector<FromFile<Resource>>* out) const {
    if (!list || list.IsNull()) return absl::OkStatus();
    if (!list.IsSequence()) return Invalid(PlaceOf(path_, list.Mark()), fmt::format("{}: must be a list", what));
    for (const YAML::Node& node : list) {
      const std::string place = PlaceOf(path_, node.Mark());
      Json json = ToJson(node);
      if (json.is_string()) json = Json{{"name", json}};
      for (const auto& [field, collection] : names) MakeFull(collection, &json[field]);
      if (json.contains("dead_letter_policy")) MakeFull("topics", &json["dead_letter_policy"]["dead_letter_topic"]);
      FromFile<Resource> read{{}, place};
      const auto parsed = google::protobuf::util::JsonStringToMessage(json.dump(), &read.resource);
      if (!parsed.ok()) return Invalid(place, fmt::format("{}: {}", what, std::string(parsed.message())));
      out->push_back(std::move(read));
    }
    return absl::OkStatus();
  }

  void MakeFull(std::string_view collection, Json* name) const {
    if (name->is_string() && name->get<std::string>().find('/') == std::string::npos) {
      *name = fmt::format("projects/{}/{}/{}", project_, collection, name->get<std::string>());
    }
  }

  const std::string path_;
  std::string project_ = "local";
};

// The same error, of something that stands there.
absl::Status At(const std::string& place, const absl::Status& status) {
  return Error(ReasonOf(status).value_or(Reason::kInternal), fmt::format("{}: {}", place, std::string(status.message())),
               MetadataOf(status));
}

// Waits for what `create` begins. False for what is there already.
template <class Config, class Create>
absl::StatusOr<bool> CreateOne(const std::string& place, const absl::StatusOr<Config>& config, Create&& create) {
  absl::Status status = config.status();
  if (config.ok()) {
    std::promise<absl::Status> made;
    create(*config, [&made](const absl::StatusOr<Config>& result) { made.set_value(result.status()); });
    status = made.get_future().get();
  }
  if (absl::IsAlreadyExists(status)) return false;
  if (!status.ok()) return At(place, status);
  return true;
}

absl::StatusOr<SubscriptionConfig> Checked(const v1::Subscription& subscription, bool push_to_private) {
  auto config = FromProto(subscription);
  if (!config.ok()) return config;
  if (absl::Status status = CheckPush(*config, push_to_private); !status.ok()) return status;
  return config;
}

}  // namespace

absl::StatusOr<StartupFile> ReadStartupFile(const std::string& path) {
  try {
    return Reader(path).Read();
  } catch (const YAML::BadFile&) {
    return Invalid(path, "cannot be read");
  } catch (const YAML::Exception& error) {
    return Invalid(PlaceOf(path, error.mark), error.msg);
  }
}

absl::StatusOr<Made> CreateMissing(const StartupFile& file, bool push_to_private, Engine& engine) {
  Made made;
  for (const auto& [topic, place] : file.topics) {
    auto one = CreateOne(place, FromProto(topic), [&](const TopicConfig& config, Engine::Done<TopicConfig> done) {
      engine.CreateTopic(config, std::move(done));
    });
    if (!one.ok()) return one.status();
    made.topics += *one ? 1 : 0;
  }
  for (const auto& [subscription, place] : file.subscriptions) {
    auto start = FromProto(subscription.start(), "start");
    if (!start.ok()) return At(place, start.status());
    auto one = CreateOne(place, Checked(subscription, push_to_private),
                         [&](const SubscriptionConfig& config, Engine::Done<SubscriptionConfig> done) {
                           engine.CreateSubscription(config, *start, std::move(done));
                         });
    if (!one.ok()) return one.status();
    made.subscriptions += *one ? 1 : 0;
  }
  return made;
}

}  // namespace sluice::server
