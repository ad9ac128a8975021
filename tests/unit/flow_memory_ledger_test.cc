// Under a budget for all, and in which order load is shed.
#include "core/flow/memory_ledger.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(MemoryLedgerTest, CountsPartsAndBoundsNothingWithoutABudget) {
  MemoryLedger ledger(0);
  EXPECT_TRUE(ledger.Take(MemoryPart::kPublishes, size_t{1} << 40));
  EXPECT_TRUE(ledger.TakeFree(MemoryPart::kTailCache, 5));
  EXPECT_EQ(ledger.used(MemoryPart::kPublishes), size_t{1} << 40);
  EXPECT_EQ(ledger.used(MemoryPart::kTailCache), 5u);
  EXPECT_FALSE(ledger.tight());
}

TEST(MemoryLedgerTest, NeverTakesPastTheBudget) {
  MemoryLedger ledger(100);
  EXPECT_TRUE(ledger.Take(MemoryPart::kPublishes, 60));
  EXPECT_FALSE(ledger.Take(MemoryPart::kTailCache, 41));
  EXPECT_TRUE(ledger.Take(MemoryPart::kTailCache, 40));
  EXPECT_EQ(ledger.used(), 100u);
  ledger.Give(MemoryPart::kPublishes, 60);
  EXPECT_EQ(ledger.used(), 40u);
  EXPECT_EQ(ledger.used(MemoryPart::kPublishes), 0u);
}

TEST(MemoryLedgerTest, AsksOthersForRoomBeforeItRefuses) {
  MemoryLedger ledger(100);
  ledger.SetReclaim([&ledger](size_t bytes) {
    ledger.Give(MemoryPart::kTailCache, std::min(bytes, ledger.used(MemoryPart::kTailCache)));
  });
  ASSERT_TRUE(ledger.TakeFree(MemoryPart::kTailCache, 80));
  EXPECT_FALSE(ledger.TakeFree(MemoryPart::kPublishes, 30)) << "the cache may not push itself out";
  EXPECT_TRUE(ledger.Take(MemoryPart::kPublishes, 30));
  EXPECT_EQ(ledger.used(MemoryPart::kTailCache), 50u);
  EXPECT_FALSE(ledger.Take(MemoryPart::kPublishes, 71));
  EXPECT_EQ(ledger.used(MemoryPart::kPublishes), 30u);
}

TEST(MemoryLedgerTest, WhatWasPromisedIsTakenAndRefusesTheRest) {
  MemoryLedger ledger(100);
  ledger.Force(MemoryPart::kOutgoing, 74);
  EXPECT_FALSE(ledger.tight());
  ledger.Force(MemoryPart::kOutgoing, 50);
  EXPECT_TRUE(ledger.tight());
  EXPECT_FALSE(ledger.Take(MemoryPart::kPublishes, 1));
  ledger.Give(MemoryPart::kOutgoing, 124);
  EXPECT_TRUE(ledger.Take(MemoryPart::kPublishes, 100));
}

}  // namespace
}  // namespace sluice
