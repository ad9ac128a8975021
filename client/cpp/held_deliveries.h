// What a subscriber with exactly-once delivery holds from streams before the one that is open: a
// server that was started again knows it still, under other ids (docs/adr/0030).
//
//   held.Park(pool.DropQueue());                         // a stream ended
//   held.Decide(run, verdict);                           // a handler returned meanwhile
//   held.AddTo(others, request.mutable_take_up());       // the next one begins
//   held.Take(response.taken_up(), running, ...);        // it is open, and has said what still holds
//
// Deliveries are known here by the number of the stream on which they came and their ids there.
// `ids of now` are those of the stream that is open, or that was open last.
//
// Thread rule: a plain container; the subscriber locks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "client/cpp/confirmations.h"
#include "client/cpp/run.h"
#include "core/flow/verdict.h"
#include "sluice/v1/pubsub.pb.h"

namespace sluice::client {

class HeldDeliveries {
 public:
  struct Decided {
    HeldId id;
    Verdict verdict;
  };

  // Whether a server was met that can be asked for them.
  bool possible() const { return incarnation_ != 0; }

  // Ids of now are those of this stream. Forgets what was held.
  void Begin(uint64_t stream_number, uint32_t incarnation);

  // Calls fn(id) for each message of the run that is held, and lost(message_id) for the others.
  template <class Fn, class Lost>
  void ForEachId(const Run& run, Fn&& fn, Lost&& lost) const {
    for (const ReceivedMessage& message : run.messages()) {
      const auto id = IdOf({run.stream_number, message.delivery_id});
      id ? fn(HeldId{*id, message.id}) : lost(message.id);
    }
  }
  template <class Fn>
  void ForEachId(const Run& run, Fn&& fn) const {
    ForEachId(run, std::forward<Fn>(fn), [](uint64_t) {});
  }

  // Runs that no handler has begun with, and verdicts on others while no stream is open.
  void Park(std::vector<Run> runs);
  std::vector<Run> DropParked() { return std::exchange(parked_, {}); }
  void Decide(const Run& run, const Verdict& verdict);
  // Verdicts that nobody can be told any more: the messages that were acknowledged.
  std::vector<uint64_t> GiveUpDecided();
  bool any_decided() const { return !decided_.empty(); }

  // What is held: here, by handlers that run, and by acknowledgements without an answer.
  void AddTo(std::vector<HeldId> others, v1::TakeUp* take_up) const;

  // What the new stream has taken up.
  struct Resumed {
    // To be handled: parts of parked runs. Beside them what is lost of those.
    std::vector<Run> runs;
    std::vector<Run> lost;
    // Verdicts, under their new ids; and messages that were acknowledged and are lost.
    std::vector<Decided> decided;
    std::vector<uint64_t> lost_acks;
  };
  // `running` are handled now. Afterwards ids of now are those of the new stream.
  Resumed Take(std::span<const v1::TakenUp> taken_up, const std::vector<Run>& running,
               uint64_t stream_number, uint32_t incarnation);

 private:
  using Name = std::pair<uint64_t, uint64_t>;
  std::optional<uint64_t> IdOf(const Name& name) const;

  uint32_t incarnation_ = 0;
  uint64_t stream_number_ = 0;
  // (stream, id there) -> id of now, of what is held from streams before.
  absl::btree_map<Name, uint64_t> renamed_;
  std::vector<Run> parked_;
  std::vector<Decided> decided_;
};

// The new id of what was held as `id`; nothing when it is over.
std::optional<uint64_t> NewIdOf(std::span<const v1::TakenUp> taken_up, uint64_t id);

}  // namespace sluice::client
