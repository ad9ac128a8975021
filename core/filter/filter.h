// Which messages a subscription gets, by their attributes and their priority. The grammar is
// Pub/Sub's (https://cloud.google.com/pubsub/docs/subscription-message-filter), and priorities are
// ours:
//
//   filter := term ( ("AND" term)+ | ("OR" term)+ )?          AND and OR do not mix without parentheses
//   term   := ("NOT" | "-")* ( basic | "(" filter ")" )
//   basic  := "attributes" ":" key
//           | "attributes" "." key ("=" | "!=") string
//           | "hasPrefix" "(" "attributes" "." key "," string ")"
//           | "priority" ("=" | "!=" | "<" | "<=" | ">" | ">=") number
//   key    := [A-Za-z0-9_-]+ | string          string := "..." with \" \\ \n \t \uXXXX \xHH \ooo
//
//   auto filter = Filter::Compile("attributes.colour = \"red\" AND priority >= 5");
//   if (filter->Matches(batch->message(i))) ...
//
// A message is scanned once, whatever the number of terms; each basic term sets a bit, and the bits
// decide.
//
// Thread rule: constant after compilation. Matches does not allocate.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

class Filter {
 public:
  // The Pub/Sub API knows no priorities.
  enum class Grammar { kNative, kPubsub };

  // Matches everything, as blank text does.
  Filter() = default;

  // INVALID_ARGUMENT (INVALID_FILTER) says at which character what was expected.
  static absl::StatusOr<Filter> Compile(std::string_view text, Grammar grammar = Grammar::kNative);

  // Of a stored message.
  bool Matches(std::string_view message) const { return matches_all() || Evaluate(message); }
  bool matches_all() const { return root_.children.empty() && root_.kind == Node::Kind::kAnd; }

 private:
  friend class FilterParser;

  struct Predicate {
    enum class Kind {
      kHasAttribute,
      kAttributeEquals,
      kAttributeDiffers,
      kAttributeHasPrefix,
      kPriority
    };
    // A priority p holds when the bit of (p < number, p = number, p > number) is set.
    enum Order : uint8_t { kLess = 1, kEqual = 2, kGreater = 4 };

    Kind kind = Kind::kHasAttribute;
    std::string key;
    std::string value;
    uint8_t orders = 0;
    uint64_t number = 0;

    bool OfAttribute(std::string_view attribute) const;
    bool OfPriority(uint64_t priority) const;
  };

  struct Node {
    enum class Kind { kPredicate, kAnd, kOr };
    Kind kind = Kind::kAnd;
    bool negated = false;
    // Its place in predicates_.
    size_t predicate = 0;
    std::vector<Node> children;

    bool Holds(uint64_t truths) const;
  };

  bool Evaluate(std::string_view message) const;
  // Which predicates hold for a message without attributes and of priority 0.
  uint64_t TruthsOfNothing() const;

  Node root_;
  // At most 64: the shortest takes 10 of 256 characters.
  std::vector<Predicate> predicates_;
  uint64_t initial_truths_ = 0;
};

}  // namespace sluice
