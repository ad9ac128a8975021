// What must hold whatever happens, and a place to write down where it did not.
//
// Thread rule: plain values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::model {

enum class Invariant {
  kAckIsFinal,
  kOneLease,
  kLeaseSurvives,
  kKeyOrder,
  kKeyReleased,
  kNothingLost,
  kNothingKept,
  kStoredOnce,
  kAttempts,
  kFilter,
  kFenced,
  kBuriedOnce,
  kInTime,
  kExpiry,
  kProgress,
  kContent,
  kCredit,
  kCounts,
};

inline std::string_view ToString(Invariant invariant) {
  switch (invariant) {
    case Invariant::kAckIsFinal:
      return "a message that was acknowledged is never delivered again";
    case Invariant::kOneLease:
      return "at most one live lease per message and subscription";
    case Invariant::kLeaseSurvives:
      return "a lease that was saved survives a restart until its deadline";
    case Invariant::kKeyOrder:
      return "messages of one key come in publish order, and after a redelivery all later ones "
             "again";
    case Invariant::kKeyReleased:
      return "a key is released when its head is dead-lettered";
    case Invariant::kNothingLost:
      return "nothing confirmed to a publisher is lost";
    case Invariant::kNothingKept:
      return "what everybody has acknowledged is not retained, unless a retention keeps it";
    case Invariant::kStoredOnce:
      return "what a producer sends again is not stored again";
    case Invariant::kAttempts:
      return "the attempt counter is exact and survives a restart";
    case Invariant::kFilter:
      return "what a filter leaves out counts as acknowledged and is never delivered";
    case Invariant::kFenced:
      return "a lease that is over, or another consumer's, settles nothing";
    case Invariant::kBuriedOnce:
      return "exactly one dead-letter copy, with its payload, of what has used up its attempts";
    case Invariant::kInTime:
      return "no message comes before its time";
    case Invariant::kExpiry:
      return "what has expired is gone within a second";
    case Invariant::kProgress:
      return "what may be delivered is delivered";
    case Invariant::kContent:
      return "what is delivered is what was published";
    case Invariant::kCredit:
      return "nobody gets more than there is credit for";
    case Invariant::kCounts:
      break;
  }
  return "what is counted is what happened";
}

// The invariants found violated, the first one first.
class Findings {
 public:
  struct Finding {
    Invariant invariant;
    std::string what;
  };

  void Add(Invariant invariant, std::string what) { all_.push_back({invariant, std::move(what)}); }
  bool empty() const { return all_.empty(); }
  const std::vector<Finding>& all() const { return all_; }

 private:
  std::vector<Finding> all_;
};

}  // namespace sluice::model
