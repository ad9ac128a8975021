// Plays a random run in a world: the seed decides what there is (subscriptions with filters, retry
// policies, dead letters), how likely each operation is, and every step.
//
//   World world(WorldFor(seed, options));
//   Player player(seed, &world);
//   while (world.findings().empty() && player.steps() < 150) player.Step();
//   if (world.findings().empty()) world.Drain();
//
// Thread rule: for one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/model/random.h"
#include "tests/model/world.h"

namespace sluice::model {

// `options`, with what the seed decides of the world itself.
WorldOptions WorldFor(uint64_t seed, WorldOptions options);

class Player {
 public:
  Player(uint64_t seed, World* world);

  void Step();
  int steps() const { return steps_; }

 private:
  struct Operation {
    uint64_t weight;
    void (Player::*play)();
  };

  void SetUp();
  SubscriptionConfig RandomSubscription(int number);
  Message RandomMessage();

  void Publish();
  void PublishAgain();
  void Grant();
  void Ack();
  void AckAnything();
  void Nack();
  void Extend();
  void SettleAnyones();
  void Attach();
  void Detach();
  void Seek();
  void LetTimePass();
  void JumpWall();
  void Commit();
  void Full();
  void Maintain();
  void Restart();
  void Crash();

  // A client that is attached, one with leases rather than one without; false when there is none.
  bool PickClient(size_t* client);
  bool Outlived();
  // Some of a client's live leases, perhaps with others in between; false when it has none.
  bool PickLeases(size_t client, LeaseRange* range);

  Random random_;
  // Decides what concerns leases that outlive their consumer: a world without them is played as if
  // there were none.
  Random leases_random_;
  World& world_;
  const uint64_t outlived_percent_;
  const uint64_t settled_percent_;
  std::vector<Operation> operations_;
  uint64_t weights_ = 0;
  // A publisher that uses keys, or does not.
  uint64_t keyed_percent_ = 0;
  bool timed_ = false;
  bool prompt_ = true;
  bool full_ = false;
  int messages_ = 0;
  int steps_ = 0;
};

}  // namespace sluice::model
