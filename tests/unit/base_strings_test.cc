#include <cstdint>
#include <string>
#include <vector>

#include "core/base/strings.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

// The shift-and-mask definition of UTF-8, whatever the code point.
std::string Encode(uint32_t point) {
  const auto tail = [point](int shift) {
    return static_cast<char>(0x80 | ((point >> shift) & 0x3F));
  };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xC0 | point >> 6), tail(0)};
  if (point < 0x10000) return {static_cast<char>(0xE0 | point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | point >> 18), tail(12), tail(6), tail(0)};
}

TEST(Utf8Test, EveryCodePointIsValidAndEveryTruncationIsNot) {
  for (uint32_t point = 0; point <= 0x10FFFF; ++point) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    const std::string encoded = Encode(point);
    ASSERT_TRUE(IsValidUtf8(encoded)) << point;
    for (size_t size = 1; size < encoded.size(); ++size) {
      ASSERT_FALSE(IsValidUtf8(std::string_view(encoded).substr(0, size))) << point;
      ASSERT_FALSE(IsValidUtf8(std::string_view(encoded).substr(size))) << point;
    }
  }
}

TEST(Utf8Test, SurrogatesAreNotValid) {
  for (uint32_t point = 0xD800; point <= 0xDFFF; ++point)
    ASSERT_FALSE(IsValidUtf8(Encode(point))) << point;
}

TEST(Utf8Test, NothingPastTheLastCodePointIsValid) {
  for (uint32_t point = 0x110000; point <= 0x1FFFFF; point += 37)
    ASSERT_FALSE(IsValidUtf8(Encode(point))) << point;
  EXPECT_FALSE(IsValidUtf8("\xF8\x88\x80\x80\x80"));
  EXPECT_FALSE(IsValidUtf8("\xFC\x84\x80\x80\x80\x80"));
  EXPECT_FALSE(IsValidUtf8("\xFE"));
  EXPECT_FALSE(IsValidUtf8("\xFF"));
}

TEST(Utf8Test, OverlongFormsAreNotValid) {
  for (uint32_t point = 0; point < 0x80; ++point) {
    const std::string two = {static_cast<char>(0xC0 | point >> 6),
                             static_cast<char>(0x80 | (point & 0x3F))};
    ASSERT_FALSE(IsValidUtf8(two)) << point;
  }
  for (uint32_t point = 0; point < 0x800; ++point) {
    const std::string three = {'\xE0', static_cast<char>(0x80 | point >> 6),
                               static_cast<char>(0x80 | (point & 0x3F))};
    ASSERT_FALSE(IsValidUtf8(three)) << point;
  }
  for (uint32_t point = 0; point < 0x10000; ++point) {
    const std::string four = {'\xF0', static_cast<char>(0x80 | point >> 12),
                              static_cast<char>(0x80 | ((point >> 6) & 0x3F)),
                              static_cast<char>(0x80 | (point & 0x3F))};
    ASSERT_FALSE(IsValidUtf8(four)) << point;
  }
}

TEST(Utf8Test, OfAllPairsOfBytesOnlyTheRightOnesAreValid) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const bool both_ascii = first < 0x80 && second < 0x80;
      const bool two_byte_form = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
      const std::string pair = {static_cast<char>(first), static_cast<char>(second)};
      ASSERT_EQ(IsValidUtf8(pair), both_ascii || two_byte_form) << first << " " << second;
    }
  }
}

TEST(Utf8Test, FindsDamageAtEveryPlaceOfALongText) {
  const std::vector<std::string> texts = {std::string(40, 'a'), "aé€😀aé€😀aé€😀aé€😀", ""};
  for (const std::string& text : texts) {
    ASSERT_TRUE(IsValidUtf8(text));
    for (size_t at = 0; at <= text.size(); ++at) {
      std::string damaged = text;
      damaged.insert(at, 1, '\xFF');
      ASSERT_FALSE(IsValidUtf8(damaged)) << at;
    }
  }
}

TEST(Utf8Test, ZeroBytesAreValid) { EXPECT_TRUE(IsValidUtf8(std::string(20, '\0'))); }

TEST(StringsTest, ViewsKeepTheirBytes) {
  const std::string bytes("a\0b", 3);
  EXPECT_EQ(ToStd(ToAbsl(bytes)), bytes);
  EXPECT_EQ(ToStd(ToAbsl({})), std::string_view());
}

}  // namespace
}  // namespace sluice
