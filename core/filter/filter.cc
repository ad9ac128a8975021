#include "core/filter/filter.h"

#include <algorithm>

#include "core/message/message_view.h"

namespace sluice {

bool Filter::Predicate::OfAttribute(std::string_view attribute) const {
  switch (kind) {
    case Kind::kHasAttribute:
      return true;
    case Kind::kAttributeEquals:
      return attribute == value;
    case Kind::kAttributeDiffers:
      return attribute != value;
    case Kind::kAttributeHasPrefix:
      return attribute.starts_with(value);
    case Kind::kPriority:
      break;
  }
  return false;
}

bool Filter::Predicate::OfPriority(uint64_t priority) const {
  const Order order = priority < number ? kLess : priority == number ? kEqual : kGreater;
  return (orders & order) != 0;
}

bool Filter::Node::Holds(uint64_t truths) const {
  const auto holds = [truths](const Node& child) { return child.Holds(truths); };
  bool result = false;
  switch (kind) {
    case Kind::kPredicate:
      result = (truths >> predicate & 1) != 0;
      break;
    case Kind::kAnd:
      result = std::all_of(children.begin(), children.end(), holds);
      break;
    case Kind::kOr:
      result = std::any_of(children.begin(), children.end(), holds);
      break;
  }
  return result != negated;
}

uint64_t Filter::TruthsOfNothing() const {
  uint64_t truths = 0;
  for (size_t i = 0; i < predicates_.size(); ++i) {
    const Predicate& predicate = predicates_[i];
    const bool holds = predicate.kind == Predicate::Kind::kPriority
                           ? predicate.OfPriority(0)
                           : predicate.kind == Predicate::Kind::kAttributeDiffers;
    if (holds) truths |= uint64_t{1} << i;
  }
  return truths;
}

bool Filter::Evaluate(std::string_view message) const {
  uint64_t truths = initial_truths_;
  const auto set = [&truths](size_t i, bool holds) {
    const uint64_t bit = uint64_t{1} << i;
    truths = holds ? truths | bit : truths & ~bit;
  };
  WireReader in(message);
  WireField field;
  while (in.Next(&field)) {
    if (field.number == kAttributesField && field.type == WireType::kBytes) {
      const auto attribute = ParseAttribute(field.bytes);
      if (!attribute) continue;
      for (size_t i = 0; i < predicates_.size(); ++i) {
        const Predicate& predicate = predicates_[i];
        if (predicate.kind == Predicate::Kind::kPriority || predicate.key != attribute->key)
          continue;
        // A key that comes twice counts with its last value.
        set(i, predicate.OfAttribute(attribute->value));
      }
    } else if (field.number == kPriorityField && field.type == WireType::kVarint) {
      for (size_t i = 0; i < predicates_.size(); ++i) {
        if (predicates_[i].kind == Predicate::Kind::kPriority)
          set(i, predicates_[i].OfPriority(field.value));
      }
    }
  }
  return root_.Holds(truths);
}

}  // namespace sluice
