#include "client/cpp/publish_batch.h"

#include <array>
#include <utility>

#include "client/cpp/status.h"
#include "core/message/wire.h"
#include "grpcpp/support/slice.h"

namespace sluice::client {
namespace {

// Shares the batch's bytes: however often it is sent, it is serialized once.
grpc::Slice ShareMessages(Ref<PublishBatch> batch) {
  std::string& messages = batch->messages;
  return {messages.data(), messages.size(),
          [](void* user) { Ref<PublishBatch>::Adopt(static_cast<PublishBatch*>(user)); },
          batch.Release()};
}

bool ParseResult(std::string_view bytes, BatchResult* result) {
  WireReader in(bytes);
  WireField field;
  uint64_t first_id = 0;
  std::optional<std::string_view> error;
  while (in.Next(&field)) {
    if (field.number == v1::PublishResult::kBatchIdFieldNumber) result->batch_id = field.value;
    if (field.number == v1::PublishResult::kFirstMessageIdFieldNumber) first_id = field.value;
    if (field.number == v1::PublishResult::kErrorFieldNumber && field.type == WireType::kBytes)
      error = field.bytes;
  }
  result->first_id = first_id;
  if (!error) return in.ok();
  v1::Error parsed;
  if (!parsed.ParseFromArray(error->data(), static_cast<int>(error->size()))) return false;
  const absl::Status status = FromProto(parsed);
  // An error that says OK would be a success without an id.
  result->first_id =
      status.ok() ? absl::InternalError("the server refused a batch without saying why") : status;
  return in.ok();
}

}  // namespace

void PublishBatch::Complete(const absl::StatusOr<uint64_t>& first_id) const {
  for (const Waiter& waiter : waiters) {
    if (!waiter.done) continue;
    waiter.done(first_id.ok() ? absl::StatusOr<uint64_t>(*first_id + waiter.index) : first_id);
  }
}

grpc::ByteBuffer EncodeRequest(const Ref<PublishBatch>& batch, std::string_view topic,
                               const Producer& producer) {
  std::string header;
  if (!topic.empty()) AppendBytesField(&header, v1::PublishRequest::kTopicFieldNumber, topic);
  AppendVarintField(&header, v1::PublishRequest::kBatchIdFieldNumber, batch->id);
  if (!producer.id.empty()) {
    if (!topic.empty()) {
      AppendBytesField(&header, v1::PublishRequest::kProducerIdFieldNumber, producer.id);
      AppendVarintField(&header, v1::PublishRequest::kProducerEpochFieldNumber, producer.epoch);
    }
    AppendVarintField(&header, v1::PublishRequest::kSequenceFieldNumber, batch->id);
  }
  const std::array<grpc::Slice, 2> slices = {grpc::Slice(header), ShareMessages(batch)};
  return {slices.data(), slices.size()};
}

std::optional<std::vector<BatchResult>> ParseResults(std::string_view response) {
  std::vector<BatchResult> results;
  WireReader in(response);
  WireField field;
  while (in.Next(&field)) {
    if (field.number != v1::PublishResponse::kResultsFieldNumber || field.type != WireType::kBytes)
      continue;
    if (!ParseResult(field.bytes, &results.emplace_back())) return std::nullopt;
  }
  if (!in.ok()) return std::nullopt;
  return results;
}

}  // namespace sluice::client
