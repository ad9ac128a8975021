// Reads a filter's text: recursive descent, one method for each rule of the grammar in filter.h.
//
// Thread rule: for one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/filter/filter.h"

namespace sluice {

class FilterParser {
 public:
  FilterParser(std::string_view text, Filter::Grammar grammar) : text_(text), grammar_(grammar) {}

  absl::StatusOr<Filter> Parse();

 private:
  using Node = Filter::Node;
  using Predicate = Filter::Predicate;

  // Each returns false when the text is wrong, after error_ was set.
  bool ParseFilter(Node* node);
  bool ParseTerm(Node* node);
  bool ParseBasic(Node* node);
  bool ParseAttribute(Predicate* predicate);
  bool ParsePrefix(Predicate* predicate);
  bool ParsePriority(Predicate* predicate);
  bool ParseKey(std::string* key);
  bool ParseString(std::string* value);
  bool ParseEscape(std::string* value);
  bool ParseCodePoint(size_t digits, unsigned base, uint32_t most, std::string* value);
  bool ParseNumber(uint64_t* number);

  void SkipBlanks();
  // Takes `symbol`, behind any blanks, when it comes next.
  bool Accept(std::string_view symbol);
  // The same for a word, which must end there.
  bool AcceptWord(std::string_view word);
  bool Expect(std::string_view symbol);
  // Records that `expected` should stand here; returns false.
  bool Fail(std::string_view expected);

  const std::string_view text_;
  const Filter::Grammar grammar_;
  size_t at_ = 0;
  absl::Status error_;
  Filter filter_;
};

}  // namespace sluice
