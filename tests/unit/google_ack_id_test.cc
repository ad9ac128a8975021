#include "server/api/google/ack_id.h"

#include "gtest/gtest.h"

namespace sluice::server {
namespace {

std::string TextOf(const AckId& id) {
  std::string text(kAckIdSize, '\0');
  EXPECT_EQ(WriteAckId(text.data(), id), text.data() + text.size());
  return text;
}

TEST(AckIdTest, SaysWhatItWasMadeOf) {
  const AckId id = {SubscriptionId(7), 0xFFFFFFFF, LeaseId(uint64_t{1} << 63),
                    Offset(123'456'789'012)};
  AckId read;
  ASSERT_TRUE(ReadAckId(TextOf(id), &read));
  EXPECT_EQ(read.subscription, id.subscription);
  EXPECT_EQ(read.incarnation, id.incarnation);
  EXPECT_EQ(read.lease, id.lease);
  EXPECT_EQ(read.offset, id.offset);
}

TEST(AckIdTest, DiffersForEveryPart) {
  const std::string text = TextOf({SubscriptionId(1), 1, LeaseId(1), Offset(1)});
  EXPECT_NE(text, TextOf({SubscriptionId(2), 1, LeaseId(1), Offset(1)}));
  EXPECT_NE(text, TextOf({SubscriptionId(1), 2, LeaseId(1), Offset(1)}));
  EXPECT_NE(text, TextOf({SubscriptionId(1), 1, LeaseId(2), Offset(1)}));
  EXPECT_NE(text, TextOf({SubscriptionId(1), 1, LeaseId(1), Offset(2)}));
}

TEST(AckIdTest, IsNoneWhenCutOrMistyped) {
  const std::string text = TextOf({SubscriptionId(1), 2, LeaseId(3), Offset(4)});
  AckId read;
  EXPECT_FALSE(ReadAckId("", &read));
  EXPECT_FALSE(ReadAckId(text.substr(1), &read));
  EXPECT_FALSE(ReadAckId(text + "A", &read));
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char other : {'B', '*', '\xFF', '='}) {
      std::string mistyped = text;
      if (mistyped[i] == other) continue;
      mistyped[i] = other;
      EXPECT_FALSE(ReadAckId(mistyped, &read)) << i << other;
    }
  }
}

}  // namespace
}  // namespace sluice::server
