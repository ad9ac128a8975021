#include "core/filter/parser.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/message/limits.h"
#include "fmt/format.h"

namespace sluice {
namespace {

bool IsWordCharacter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Whether this byte of UTF-8 begins a character.
bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

size_t CharactersBefore(std::string_view text, size_t at) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), BeginsCharacter));
}

// What an error quotes of the text that was not expected: a word, or one character.
std::string Quoted(std::string_view rest) {
  if (rest.empty()) return "the end";
  size_t length = 0;
  while (length < rest.size() && IsWordCharacter(rest[length])) ++length;
  if (length == 0) {
    length = 1;
    while (length < rest.size() && !BeginsCharacter(rest[length])) ++length;
  }
  return fmt::format("\"{}\"", rest.substr(0, length));
}

void AppendUtf8(uint32_t code, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

absl::Status InvalidFilter(std::string_view text, const std::string& what) {
  return Error(Reason::kInvalidFilter, fmt::format("filter: {}", what),
               {{"field", "filter"}, {"value", std::string(text.substr(0, kMaxFilterBytes))}});
}

}  // namespace

absl::StatusOr<Filter> Filter::Compile(std::string_view text, Grammar grammar) {
  if (text.size() > kMaxFilterBytes) {
    return Error(
        Reason::kInvalidFilter,
        fmt::format("filter: {} bytes, but it must be at most {}", text.size(), kMaxFilterBytes),
        {{"field", "filter"},
         {"value", fmt::format("{} bytes", text.size())},
         {"limit", std::to_string(kMaxFilterBytes)}});
  }
  if (!IsValidUtf8(text))
    return Error(Reason::kInvalidUtf8, "filter: not UTF-8", {{"field", "filter"}});
  return FilterParser(text, grammar).Parse();
}

absl::StatusOr<Filter> FilterParser::Parse() {
  SkipBlanks();
  if (at_ == text_.size()) return filter_;
  if (!ParseFilter(&filter_.root_)) return error_;
  SkipBlanks();
  if (at_ != text_.size()) {
    Fail("AND, OR or the end");
    return error_;
  }
  filter_.initial_truths_ = filter_.TruthsOfNothing();
  return std::move(filter_);
}

bool FilterParser::ParseFilter(Node* node) {
  Node first;
  if (!ParseTerm(&first)) return false;
  const bool conjunction = AcceptWord("AND");
  if (!conjunction && !AcceptWord("OR")) {
    *node = std::move(first);
    return true;
  }
  node->kind = conjunction ? Node::Kind::kAnd : Node::Kind::kOr;
  node->children.push_back(std::move(first));
  do {
    if (!ParseTerm(&node->children.emplace_back())) return false;
  } while (AcceptWord(conjunction ? "AND" : "OR"));
  const size_t other = at_;
  if (AcceptWord(conjunction ? "OR" : "AND")) {
    at_ = other;
    SkipBlanks();
    return Fail("parentheses, since AND and OR do not mix without them");
  }
  return true;
}

bool FilterParser::ParseTerm(Node* node) {
  bool negated = false;
  while (AcceptWord("NOT") || Accept("-")) negated = !negated;
  if (Accept("(")) {
    if (!ParseFilter(node) || !Expect(")")) return false;
  } else if (!ParseBasic(node)) {
    return false;
  }
  node->negated ^= negated;
  return true;
}

bool FilterParser::ParseBasic(Node* node) {
  Predicate predicate;
  bool parsed = false;
  if (AcceptWord("attributes")) {
    parsed = ParseAttribute(&predicate);
  } else if (AcceptWord("hasPrefix")) {
    parsed = ParsePrefix(&predicate);
  } else if (grammar_ == Filter::Grammar::kNative && AcceptWord("priority")) {
    parsed = ParsePriority(&predicate);
  } else {
    return Fail(grammar_ == Filter::Grammar::kNative
                    ? "attributes, hasPrefix, priority, NOT, - or ("
                    : "attributes, hasPrefix, NOT, - or (");
  }
  node->kind = Node::Kind::kPredicate;
  node->predicate = filter_.predicates_.size();
  filter_.predicates_.push_back(std::move(predicate));
  return parsed;
}

// Behind "attributes".
bool FilterParser::ParseAttribute(Predicate* predicate) {
  if (Accept(":")) {
    predicate->kind = Predicate::Kind::kHasAttribute;
    return ParseKey(&predicate->key);
  }
  if (!Accept(".")) return Fail("\":\" or \".\"");
  if (!ParseKey(&predicate->key)) return false;
  if (Accept("!=")) {
    predicate->kind = Predicate::Kind::kAttributeDiffers;
  } else if (Accept("=")) {
    predicate->kind = Predicate::Kind::kAttributeEquals;
  } else {
    return Fail("\"=\" or \"!=\"");
  }
  return ParseString(&predicate->value);
}

// Behind "hasPrefix".
bool FilterParser::ParsePrefix(Predicate* predicate) {
  predicate->kind = Predicate::Kind::kAttributeHasPrefix;
  if (!Expect("(")) return false;
  if (!AcceptWord("attributes")) return Fail("attributes");
  return Expect(".") && ParseKey(&predicate->key) && Expect(",") &&
         ParseString(&predicate->value) && Expect(")");
}

// Behind "priority".
bool FilterParser::ParsePriority(Predicate* predicate) {
  predicate->kind = Predicate::Kind::kPriority;
  // Longer ones first, since they begin with the shorter.
  constexpr std::pair<std::string_view, uint8_t> kOperators[] = {
      {"!=", Predicate::kLess | Predicate::kGreater},
      {"<=", Predicate::kLess | Predicate::kEqual},
      {">=", Predicate::kGreater | Predicate::kEqual},
      {"=", Predicate::kEqual},
      {"<", Predicate::kLess},
      {">", Predicate::kGreater}};
  for (const auto& [symbol, orders] : kOperators) {
    if (!Accept(symbol)) continue;
    predicate->orders = orders;
    return ParseNumber(&predicate->number);
  }
  return Fail("one of = != < <= > >=");
}

bool FilterParser::ParseKey(std::string* key) {
  SkipBlanks();
  if (at_ < text_.size() && text_[at_] == '"') return ParseString(key);
  const size_t begin = at_;
  while (at_ < text_.size() && IsWordCharacter(text_[at_])) ++at_;
  *key = text_.substr(begin, at_ - begin);
  return !key->empty() || Fail("a key, of A-Z a-z 0-9 _ - or in double quotes");
}

bool FilterParser::ParseString(std::string* value) {
  if (!Accept("\"")) return Fail("a string in double quotes");
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] == '\\') {
      if (!ParseEscape(value)) return false;
    } else {
      value->push_back(text_[at_++]);
    }
  }
  if (at_ == text_.size()) return Fail("the string's closing double quote");
  ++at_;
  return true;
}

bool FilterParser::ParseEscape(std::string* value) {
  const std::string_view rest = text_.substr(at_ + 1);
  const char escape = rest.empty() ? '\0' : rest[0];
  if (escape >= '0' && escape <= '3') {
    at_ += 1;
    return ParseCodePoint(3, 8, 0xFF, value);
  }
  constexpr std::string_view kEscapes = "\"\\nt";
  constexpr std::string_view kMeanings = "\"\\\n\t";
  if (const size_t i = kEscapes.find(escape); escape != '\0' && i != std::string_view::npos) {
    value->push_back(kMeanings[i]);
    at_ += 2;
    return true;
  }
  if (escape != 'u' && escape != 'x') return Fail("one of \\\" \\\\ \\n \\t \\uXXXX \\xHH \\ooo");
  at_ += 2;
  return ParseCodePoint(escape == 'u' ? 4 : 2, 16, 0xFFFF, value);
}

bool FilterParser::ParseCodePoint(size_t digits, unsigned base, uint32_t most, std::string* value) {
  const std::string_view number = text_.substr(at_, digits);
  uint32_t code = 0;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), code, static_cast<int>(base));
  if (number.size() < digits || error != std::errc() || end != number.data() + digits ||
      code > most) {
    return Fail(fmt::format("{} {} digits", digits, base == 8 ? "octal" : "hexadecimal"));
  }
  constexpr uint32_t kFirstSurrogate = 0xD800;
  constexpr uint32_t kLastSurrogate = 0xDFFF;
  if (code >= kFirstSurrogate && code <= kLastSurrogate)
    return Fail("a character, not a half of one");
  AppendUtf8(code, value);
  at_ += digits;
  return true;
}

bool FilterParser::ParseNumber(uint64_t* number) {
  SkipBlanks();
  const auto [end, error] =
      std::from_chars(text_.data() + at_, text_.data() + text_.size(), *number);
  if (error != std::errc()) return Fail("a number");
  at_ = static_cast<size_t>(end - text_.data());
  return at_ == text_.size() || !IsWordCharacter(text_[at_]) || Fail("the end of the number");
}

void FilterParser::SkipBlanks() {
  while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
}

bool FilterParser::Accept(std::string_view symbol) {
  SkipBlanks();
  if (!text_.substr(at_).starts_with(symbol)) return false;
  at_ += symbol.size();
  return true;
}

bool FilterParser::AcceptWord(std::string_view word) {
  const size_t before = at_;
  if (Accept(word) && (at_ == text_.size() || !IsWordCharacter(text_[at_]))) return true;
  at_ = before;
  return false;
}

bool FilterParser::Expect(std::string_view symbol) {
  return Accept(symbol) || Fail(fmt::format("\"{}\"", symbol));
}

bool FilterParser::Fail(std::string_view expected) {
  SkipBlanks();
  error_ = InvalidFilter(
      text_, fmt::format("at character {}: expected {}, found {}", CharactersBefore(text_, at_) + 1,
                         expected, Quoted(text_.substr(at_))));
  return false;
}

}  // namespace sluice
