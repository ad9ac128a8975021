#include "server/delivery/splice.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/message/wire.h"
#include "gtest/gtest.h"
#include "server/api/native/wire.h"

namespace sluice::server {
namespace {

constexpr size_t kMebibyte = size_t{1} << 20;

// One message with this payload.
Ref<Batch> BatchOf(const std::string& payload) {
  std::string message;
  AppendBytesField(&message, kDataField, payload);
  Ref<Batch> batch = Batch::Compose({message}, true);
  batch->set_first(Offset(1));
  batch->set_publish_time_us(0);
  return batch;
}

// What one subscriber's stream writes.
grpc::ByteBuffer Encode(const Ref<Batch>& batch, LeaseId lease) {
  std::vector<Delivery> deliveries = {{batch, 0, 1, lease, 1}};
  return EncodeDeliveries(&deliveries, 2 * kMebibyte, v1::SubscribeResponse()).buffer;
}

std::vector<grpc::Slice> SlicesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  return slices;
}

bool RefersTo(const grpc::ByteBuffer& buffer, std::string_view stored) {
  const std::vector<grpc::Slice> slices = SlicesOf(buffer);
  return std::any_of(slices.begin(), slices.end(), [&](const grpc::Slice& slice) {
    return reinterpret_cast<const char*>(slice.begin()) == stored.data() &&
           slice.size() == stored.size();
  });
}

v1::SubscribeResponse Parse(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  for (const grpc::Slice& slice : SlicesOf(buffer))
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  v1::SubscribeResponse response;
  EXPECT_TRUE(response.ParseFromString(bytes));
  return response;
}

TEST(SpliceTest, EverySubscriberIsSentTheSameBytesOfALargeMessage) {
  const Ref<Batch> batch = BatchOf(std::string(kMebibyte, 'x'));
  for (uint64_t subscriber = 1; subscriber <= 4; ++subscriber) {
    EXPECT_TRUE(RefersTo(Encode(batch, LeaseId(subscriber)), batch->message(0))) << subscriber;
  }
}

TEST(SpliceTest, WhatIsSentOutlivesWhoeverDeliveredIt) {
  const std::string payload(kMebibyte, 'x');
  Ref<Batch> batch = BatchOf(payload);
  const grpc::ByteBuffer buffer = Encode(batch, LeaseId(7));
  batch = nullptr;
  const v1::SubscribeResponse response = Parse(buffer);
  ASSERT_EQ(response.deliveries_size(), 1);
  EXPECT_EQ(response.deliveries(0).delivery_id(), 7U);
  EXPECT_EQ(response.deliveries(0).message().data(), payload);
}

TEST(SpliceTest, AMessageIsSharedFromTheBoundOn) {
  const size_t header = BytesFieldSize(kSharedMessageBytes) - kSharedMessageBytes;
  const Ref<Batch> at = BatchOf(std::string(kSharedMessageBytes - header, 'x'));
  ASSERT_EQ(at->message(0).size(), kSharedMessageBytes);
  EXPECT_TRUE(RefersTo(Encode(at, LeaseId(1)), at->message(0)));
  const Ref<Batch> below = BatchOf(std::string(kSharedMessageBytes - header - 1, 'x'));
  EXPECT_FALSE(RefersTo(Encode(below, LeaseId(1)), below->message(0)));
}

TEST(SpliceTest, SmallMessagesGoInOnePiece) {
  const grpc::ByteBuffer buffer = Encode(BatchOf(std::string(100, 'x')), LeaseId(1));
  EXPECT_EQ(SlicesOf(buffer).size(), 1U);
  EXPECT_EQ(Parse(buffer).deliveries(0).message().data().size(), 100U);
}

}  // namespace
}  // namespace sluice::server
