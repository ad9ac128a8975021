#include "server/api/google/ack_id.h"

#include <array>
#include <cstring>

#define XXH_INLINE_ALL
#include "xxhash.h"

namespace sluice::server {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kBytes = 30;
constexpr size_t kCheckedBytes = 28;
constexpr uint8_t kNoDigit = 0xFF;
static_assert(kBytes * 8 == kAckIdSize * 6);

constexpr std::array<uint8_t, 256> MakeDigits() {
  std::array<uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    digits[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  return digits;
}
constexpr std::array<uint8_t, 256> kDigits = MakeDigits();

uint16_t CheckOf(const uint8_t* bytes) {
  return static_cast<uint16_t>(XXH3_64bits(bytes, kCheckedBytes));
}

template <class T>
uint8_t* Put(uint8_t* out, T value) {
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

template <class T>
const uint8_t* Get(const uint8_t* in, T* value) {
  std::memcpy(value, in, sizeof *value);
  return in + sizeof *value;
}

}  // namespace

char* WriteAckId(char* out, const AckId& id) {
  uint8_t bytes[kBytes];
  uint8_t* end = Put(bytes, id.subscription.value());
  end = Put(end, id.incarnation);
  end = Put(end, id.lease.value());
  end = Put(end, id.offset.value());
  Put(end, CheckOf(bytes));
  for (size_t i = 0; i < kBytes; i += 3) {
    const uint32_t three = uint32_t{bytes[i]} << 16 | uint32_t{bytes[i + 1]} << 8 | bytes[i + 2];
    *out++ = kAlphabet[three >> 18];
    *out++ = kAlphabet[three >> 12 & 63];
    *out++ = kAlphabet[three >> 6 & 63];
    *out++ = kAlphabet[three & 63];
  }
  return out;
}

bool ReadAckId(std::string_view text, AckId* id) {
  if (text.size() != kAckIdSize) return false;
  uint8_t bytes[kBytes];
  uint8_t* out = bytes;
  for (size_t i = 0; i < kAckIdSize; i += 4) {
    uint32_t three = 0;
    uint8_t bad = 0;
    for (size_t j = 0; j < 4; ++j) {
      const uint8_t digit = kDigits[static_cast<uint8_t>(text[i + j])];
      bad |= digit;
      three = three << 6 | (digit & 63);
    }
    if ((bad & 64) != 0) return false;
    *out++ = static_cast<uint8_t>(three >> 16);
    *out++ = static_cast<uint8_t>(three >> 8);
    *out++ = static_cast<uint8_t>(three);
  }
  uint64_t subscription = 0;
  uint64_t lease = 0;
  uint64_t offset = 0;
  uint16_t check = 0;
  const uint8_t* in = Get(bytes, &subscription);
  in = Get(in, &id->incarnation);
  in = Get(in, &lease);
  in = Get(in, &offset);
  Get(in, &check);
  id->subscription = SubscriptionId(subscription);
  id->lease = LeaseId(lease);
  id->offset = Offset(offset);
  return check == CheckOf(bytes);
}

}  // namespace sluice::server
