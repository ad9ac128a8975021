// sluice dlq redrive|purge: dead letters go back to where they came from, or away. Both work on a
// subscription of the dead-letter topic. A letter is published before it is acknowledged: a redrive
// that is cut off may repeat the last ones.
#include <map>

#include "client/cli/commands/commands.h"
#include "client/cli/commands/redrive.h"
#include "client/cpp/status.h"
#include "fmt/format.h"

namespace sluice::cli {
namespace {

constexpr std::string_view kOriginalTopic = "SluiceDeadLetterTopic";

// That the subscription is of a topic that others send their dead letters to. Its source has a
// backlog too, which is not to be dropped for a slip of the name.
absl::Status CheckIsOfDeadLetters(const Session& session, const std::string& name) {
  client::Admin admin = session.OpenAdmin();
  const auto subscription = admin.GetSubscription(name);
  if (!subscription.ok()) return subscription.status();
  const auto all = admin.ListSubscriptions("projects/" + session.project);
  if (!all.ok()) return all.status();
  for (const v1::Subscription& source : *all) {
    if (source.has_dead_letter_policy() &&
        source.dead_letter_policy().dead_letter_topic() == subscription->topic()) {
      return absl::OkStatus();
    }
  }
  const bool is_source = subscription->has_dead_letter_policy();
  return absl::FailedPreconditionError(fmt::format(
      "{} receives from {}, which is no dead-letter topic; name a subscription of {}", name,
      subscription->topic(),
      is_source ? subscription->dead_letter_policy().dead_letter_topic() : "one that is"));
}

// The message as it was before it became a dead letter.
v1::Message Revive(const v1::Message& letter) {
  v1::Message message = letter;
  for (const auto& [key, value] : letter.attributes()) {
    if (key.rfind("CloudPubSubDeadLetter", 0) == 0 || key.rfind("SluiceDeadLetter", 0) == 0) {
      message.mutable_attributes()->erase(key);
    }
  }
  return message;
}

class Redrive {
 public:
  Redrive(const Session& session, const RedriveFlags& flags)
      : session_(session),
        flags_(flags),
        connection_(session.Connect()),
        stub_(v1::PubSub::NewStub(connection_->channel())) {}

  int Run() {
    const std::string name = session_.SubscriptionName(flags_.subscription);
    if (absl::Status status = CheckIsOfDeadLetters(session_, name); !status.ok())
      return Report(session_, status);
    const auto stats = session_.OpenAdmin().GetSubscriptionStats(name);
    if (!stats.ok()) return Report(session_, stats.status());
    wanted_ = stats->backlog_messages();
    if (flags_.count > 0) wanted_ = std::min(wanted_, flags_.count);
    grpc::ClientContext context;
    auto stream = stub_->Subscribe(&context);
    v1::SubscribeRequest request;
    request.set_subscription(name);
    request.mutable_credit()->set_messages(wanted_);
    absl::Status status;
    Progress progress("redriving");
    v1::SubscribeResponse response;
    bool open = wanted_ > 0 && stream->Write(request);
    while (open && status.ok() && moved_ < wanted_ && stream->Read(&response)) {
      request.Clear();
      status = Move(response, &request);
      open = request.acks().empty() || stream->Write(request);
      progress.Show(static_cast<double>(moved_) / static_cast<double>(wanted_),
                    fmt::format("{} of {}", moved_, wanted_));
    }
    stream->WritesDone();
    while (stream->Read(&response)) {
    }
    const grpc::Status ended = stream->Finish();
    if (status.ok() && !ended.ok()) status = client::FromGrpc(ended);
    session_.json ? fmt::print("{{\"redriven\":{}}}\n", moved_)
                  : fmt::print("redriven {}\n", moved_);
    return Report(session_, status);
  }

 private:
  // Publishes what came, and adds the acknowledgements of what is stored.
  absl::Status Move(const v1::SubscribeResponse& response, v1::SubscribeRequest* acks) {
    for (const v1::Delivery& delivery : response.deliveries()) {
      const auto& attributes = delivery.message().attributes();
      const auto original = attributes.find(std::string(kOriginalTopic));
      if (flags_.to.empty() && original == attributes.end()) {
        return absl::FailedPreconditionError(
            fmt::format("message {} does not say where it came from; --to=TOPIC does",
                        delivery.message().message_id()));
      }
      v1::PublishBatchRequest publish;
      publish.set_topic(flags_.to.empty() ? original->second : session_.TopicName(flags_.to));
      *publish.add_messages() = Revive(delivery.message());
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(absl::Now() + session_.timeout));
      v1::PublishBatchResponse stored;
      if (const grpc::Status status = stub_->PublishBatch(&context, publish, &stored);
          !status.ok()) {
        return client::FromGrpc(status);
      }
      acks->add_acks()->set_first(delivery.delivery_id());
      ++moved_;
    }
    return absl::OkStatus();
  }

  const Session& session_;
  const RedriveFlags& flags_;
  const std::shared_ptr<client::Connection> connection_;
  const std::unique_ptr<v1::PubSub::Stub> stub_;
  int64_t wanted_ = 0;
  int64_t moved_ = 0;
};

int Purge(const Session& session, const std::string& subscription) {
  v1::SeekSubscriptionRequest request;
  request.set_name(session.SubscriptionName(subscription));
  request.mutable_position()->set_latest(true);
  if (absl::Status status = CheckIsOfDeadLetters(session, request.name()); !status.ok())
    return Report(session, status);
  const auto stats = session.OpenAdmin().GetSubscriptionStats(request.name());
  if (!stats.ok()) return Report(session, stats.status());
  const absl::Status status = session.OpenAdmin().Seek(request);
  if (!status.ok()) return Report(session, status);
  session.json ? fmt::print("{{\"purged\":{}}}\n", stats->backlog_messages())
               : fmt::print("purged {}\n", stats->backlog_messages());
  return kOk;
}

}  // namespace

void AddRedriveCommands(CLI::App* dlq, Run* run) {
  auto flags = std::make_shared<RedriveFlags>();
  CLI::App* redrive = dlq->add_subcommand(
      "redrive", "Republish dead letters to their source topic and acknowledge them");
  redrive
      ->add_option("subscription", flags->subscription, "A subscription of the dead-letter topic")
      ->required();
  redrive->add_option("--to", flags->to, "Another topic");
  redrive->add_option("--count,-n", flags->count,
                      "At most this many; all that wait now when absent");
  redrive->footer("Example:\n  sluice dlq redrive graveyard --count=100");
  redrive->callback(
      [=] { *run = [=](const Session& session) { return Redrive(session, *flags).Run(); }; });
  CLI::App* purge = dlq->add_subcommand("purge", "Acknowledge all dead letters of a subscription");
  purge->add_option("subscription", flags->subscription, "A subscription of the dead-letter topic")
      ->required();
  purge->footer("Example:\n  sluice dlq purge graveyard");
  purge->callback(
      [=] { *run = [=](const Session& session) { return Purge(session, flags->subscription); }; });
}

}  // namespace sluice::cli
