#include "tests/model/player.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace sluice::model {
namespace {

constexpr std::string_view kTopic = "orders";
constexpr std::string_view kGraveyard = "graveyard";
// The second of the two.
constexpr size_t kOrders = 1;
// So that a run stays small.
constexpr int kMostMessages = 150;

TopicName TopicNamed(std::string_view id) {
  return *TopicName::Parse(fmt::format("projects/test/topics/{}", id));
}
SubscriptionName SubscriptionNamed(std::string_view id) {
  return *SubscriptionName::Parse(fmt::format("projects/test/subscriptions/{}", id));
}

}  // namespace

WorldOptions WorldFor(uint64_t seed, WorldOptions options) {
  options.tail_cache_bytes = Random(seed).Pick<size_t>({0, 600, size_t{64} << 20});
  return options;
}

Player::Player(uint64_t seed, World* world)
    : random_(seed),
      leases_random_(seed + (uint64_t{1} << 33)),
      world_(*world),
      outlived_percent_(leases_random_.Pick<uint64_t>({0, 50, 100})),
      settled_percent_(outlived_percent_ == 0 ? 0 : leases_random_.Between(0, 10)) {
  operations_ = {
      {random_.Between(5, 30), &Player::Publish},
      {random_.Between(0, 4), &Player::PublishAgain},
      {random_.Between(2, 15), &Player::Grant},
      {random_.Between(0, 30), &Player::Ack},
      {random_.Between(0, 6), &Player::AckAnything},
      {random_.Between(0, 30), &Player::Nack},
      {random_.Between(0, 6), &Player::Extend},
      {random_.Between(1, 6), &Player::Attach},
      {random_.Between(0, 4), &Player::Detach},
      {random_.Percent(30) ? random_.Between(1, 3) : 0, &Player::Seek},
      {random_.Between(2, 20), &Player::LetTimePass},
      {random_.Between(0, 2), &Player::JumpWall},
      {random_.Between(1, 20), &Player::Commit},
      {random_.Between(0, 2), &Player::Full},
      {random_.Between(0, 3), &Player::Maintain},
      {random_.Between(0, 2), &Player::Restart},
      {random_.Between(0, 3), &Player::Crash},
  };
  for (const Operation& operation : operations_) weights_ += operation.weight;
  SetUp();
}

void Player::SetUp() {
  keyed_percent_ = random_.Pick<uint64_t>({0, 50, 100});
  timed_ = random_.Percent(30);
  TopicConfig topic;
  topic.retention = kMaxRetention;
  world_.CreateTopic(kGraveyard, topic);
  if (random_.Percent(30))
    topic.acked_retention = random_.Pick<absl::Duration>({absl::Minutes(10), absl::Hours(1)});
  if (random_.Percent(20))
    topic.message_ttl = random_.Pick<absl::Duration>({absl::Minutes(1), absl::Hours(2)});
  world_.CreateTopic(kTopic, topic);
  // The first subscription may come after the first message, and begin behind it.
  const bool late = random_.Percent(30);
  if (late) Publish();
  const auto subscriptions = static_cast<int>(random_.Between(1, 3));
  for (int i = 0; i < subscriptions; ++i) {
    const FilterCase& filter = random_.Percent(50) ? FilterCases()[0] : random_.Pick(FilterCases());
    const StartPosition start = late ? StartPosition(Latest{}) : StartPosition(Earliest{});
    world_.CreateSubscription(RandomSubscription(i), filter, start);
  }
  SubscriptionConfig undertaker;
  undertaker.name = SubscriptionNamed("undertaker");
  undertaker.topic = TopicNamed(kGraveyard);
  world_.CreateSubscription(undertaker, FilterCases()[0]);
  const uint64_t consumers = random_.Between(1, 3);
  for (size_t i = 0; i < consumers * world_.subscriptions(); ++i) {
    const size_t client = world_.Attach(i % world_.subscriptions(), Outlived());
    world_.Grant(client, static_cast<int64_t>(random_.Between(1, 50)), Subscription::kNoByteLimit);
  }
  prompt_ = random_.Percent(50);
  world_.SetPrompt(prompt_);
}

SubscriptionConfig Player::RandomSubscription(int number) {
  SubscriptionConfig config;
  config.name = SubscriptionNamed(fmt::format("sub{}", number));
  config.topic = TopicNamed(kTopic);
  config.ack_deadline =
      random_.Pick<absl::Duration>({absl::Seconds(10), absl::Seconds(30), absl::Seconds(600)});
  if (random_.Percent(50)) {
    const auto minimum = random_.Pick<absl::Duration>(
        {absl::ZeroDuration(), absl::Milliseconds(100), absl::Seconds(10)});
    config.retry = RetryPolicy{minimum, minimum + random_.Time(absl::Seconds(60))};
  }
  if (random_.Percent(60)) {
    config.dead_letter =
        DeadLetterPolicy{TopicNamed(kGraveyard), static_cast<uint32_t>(random_.Between(5, 6))};
    config.dead_letter->expired_too = random_.Percent(30);
  }
  config.ordered = random_.Percent(50);
  config.priority_delivery = !config.ordered && random_.Percent(30);
  config.exactly_once = random_.Percent(40);
  return config;
}

Message Player::RandomMessage() {
  Message message;
  message.data = fmt::format("m{}", ++messages_) + std::string(random_.Below(40), '.');
  if (random_.Percent(keyed_percent_)) message.key = random_.Pick<std::string>({"a", "b", "c"});
  if (random_.Percent(70))
    message.attributes["colour"] = random_.Pick<std::string>({"red", "green"});
  if (random_.Percent(50))
    message.attributes["size"] = random_.Pick<std::string>({"small", "large"});
  if (random_.Percent(50)) message.priority = static_cast<uint32_t>(random_.Below(10));
  if (!timed_) return message;
  const auto ahead = [this](absl::Duration most) {
    return absl::ToUnixMicros(world_.wall() + random_.Time(most));
  };
  if (random_.Percent(20)) message.deliver_at_us = ahead(absl::Minutes(3));
  if (random_.Percent(30))
    message.expire_at_us = ahead(random_.Percent(50) ? absl::Minutes(30) : absl::Seconds(10));
  return message;
}

void Player::Step() {
  ++steps_;
  if (leases_random_.Percent(settled_percent_)) return SettleAnyones();
  uint64_t at = random_.Below(weights_);
  for (const Operation& operation : operations_) {
    if (at < operation.weight) return (this->*operation.play)();
    at -= operation.weight;
  }
}

bool Player::PickClient(size_t* client) {
  const std::vector<size_t> attached = world_.clients();
  if (attached.empty()) return false;
  std::vector<size_t> busy;
  for (const size_t c : attached) {
    if (!world_.LeasesOf(c).empty()) busy.push_back(c);
  }
  *client = busy.empty() ? random_.Pick(attached) : random_.Pick(busy);
  return true;
}

bool Player::PickLeases(size_t client, LeaseRange* range) {
  const std::vector<LeaseId> leases = world_.LeasesOf(client);
  if (leases.empty()) return false;
  const size_t first = random_.Below(leases.size());
  const size_t last =
      std::min<size_t>(first + random_.Below(random_.Percent(50) ? 1 : 6), leases.size() - 1);
  *range = {leases[first], leases[last]};
  return true;
}

void Player::Publish() {
  if (messages_ >= kMostMessages) return;
  std::vector<Message> messages;
  for (uint64_t count = random_.Between(1, random_.Percent(80) ? 4 : 20); count > 0; --count) {
    messages.push_back(RandomMessage());
  }
  world_.Publish(kOrders, std::move(messages), random_.Percent(30));
}

void Player::PublishAgain() {
  if (world_.numbered() > 0) world_.PublishAgain(random_.Between(1, world_.numbered()));
}

void Player::Grant() {
  const std::vector<size_t> attached = world_.clients();
  if (attached.empty()) return Attach();
  const auto messages = static_cast<int64_t>(random_.Between(1, 20));
  const int64_t bytes =
      random_.Percent(70) ? Subscription::kNoByteLimit : static_cast<int64_t>(random_.Below(500));
  world_.Grant(random_.Pick(attached), messages, bytes);
}

void Player::Ack() {
  size_t client = 0;
  LeaseRange range;
  if (!PickClient(&client) || !PickLeases(client, &range)) return;
  std::vector<LeaseRange> ranges = {range};
  if (random_.Percent(20) && PickLeases(client, &range)) ranges.push_back(range);
  random_.Percent(50) ? world_.AckConfirmed(client, ranges) : world_.Ack(client, ranges);
}

// Leases that are over, that others hold, that never were.
void Player::AckAnything() {
  const std::vector<size_t> attached = world_.clients();
  if (attached.empty()) return;
  const size_t client = random_.Pick(attached);
  LeaseId first(random_.Between(1, world_.LastLease(client).value() + 2));
  const size_t other = random_.Pick(attached);
  const std::vector<LeaseId> held = world_.LeasesOf(other);
  if (world_.subscription_of(other) == world_.subscription_of(client) && !held.empty())
    first = random_.Pick(held);
  const LeaseRange range{first, first + random_.Below(4)};
  switch (random_.Below(4)) {
    case 0:
      return world_.Nack(client, range, random_.Time(absl::Seconds(5)));
    case 1:
      return world_.Extend(client, range, random_.Time(absl::Seconds(60)));
    case 2:
      return world_.AckConfirmed(client, {range});
    default:
      return world_.Ack(client, {range});
  }
}

void Player::Nack() {
  size_t client = 0;
  LeaseRange range;
  if (!PickClient(&client) || !PickLeases(client, &range)) return;
  world_.Nack(client, range,
              random_.Percent(70) ? absl::ZeroDuration() : random_.Time(absl::Seconds(60)));
}

void Player::Extend() {
  size_t client = 0;
  LeaseRange range;
  if (!PickClient(&client) || !PickLeases(client, &range)) return;
  world_.Extend(client, range,
                random_.Percent(20) ? absl::ZeroDuration() : random_.Time(absl::Seconds(120)));
}

void Player::Attach() {
  if (world_.clients().size() >= 3 * world_.subscriptions()) return;
  const size_t client = world_.Attach(random_.Below(world_.subscriptions()), Outlived());
  world_.Grant(client, static_cast<int64_t>(random_.Between(1, 50)), Subscription::kNoByteLimit);
}

bool Player::Outlived() { return leases_random_.Percent(outlived_percent_); }

// Whoever holds them, also nobody any more.
void Player::SettleAnyones() {
  const size_t anyone = world_.Anyone(random_.Below(world_.subscriptions()));
  LeaseRange range;
  if (!PickLeases(anyone, &range)) return;
  switch (random_.Below(5)) {
    case 0:
      return world_.Nack(
          anyone, range,
          random_.Percent(50) ? absl::ZeroDuration() : random_.Time(absl::Seconds(20)));
    case 1:
      return world_.Extend(anyone, range, random_.Time(absl::Seconds(120)));
    case 2:
      return world_.AckConfirmed(anyone, {range});
    default:
      return world_.Ack(anyone, {range});
  }
}

void Player::Detach() {
  size_t client = 0;
  if (PickClient(&client)) world_.Detach(client, random_.Percent(50));
}

void Player::Seek() {
  const size_t subscription = random_.Below(world_.subscriptions());
  switch (random_.Below(4)) {
    case 0:
      return world_.Seek(subscription, Earliest{});
    case 1:
      return world_.Seek(subscription, Latest{});
    case 2:
      return world_.Seek(subscription,
                         Offset(random_.Between(1, world_.EndOf(kOrders).value() + 2)));
    default:
      return world_.Seek(subscription, world_.wall() - random_.Time(absl::Minutes(10)));
  }
}

void Player::LetTimePass() {
  const auto most =
      random_.Pick<absl::Duration>({absl::Milliseconds(50), absl::Seconds(2), absl::Seconds(12),
                                    absl::Minutes(2), absl::Hours(1)});
  world_.Advance(random_.Time(most), most > absl::Minutes(2) || random_.Percent(20));
}

void Player::JumpWall() { world_.JumpWall(random_.Percent(50) ? absl::Hours(1) : -absl::Hours(1)); }

void Player::Commit() {
  if (random_.Percent(10)) {
    prompt_ = !prompt_;
    return world_.SetPrompt(prompt_);
  }
  world_.Commit(random_.Percent(50) ? SIZE_MAX : random_.Between(1, 5));
}

void Player::Full() {
  full_ = !full_ && random_.Percent(50);
  world_.SetFull(full_);
}

void Player::Maintain() { world_.Maintain(); }
void Player::Restart() { world_.Restart(); }
void Player::Crash() { world_.Crash(); }

}  // namespace sluice::model
