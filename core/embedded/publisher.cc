#include "core/embedded/publisher.h"

#include <utility>

#include "core/embedded/publisher_core.h"

namespace sluice::embedded {
namespace {

using Company = PublisherCore::Company;

Publisher::Result ResultOf(PublisherCore& core, std::span<const OutgoingMessage> messages,
                           Company company) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<uint64_t>>>();
  Publisher::Result result = promise->get_future();
  core.Publish(messages, company,
               [promise](absl::StatusOr<uint64_t> id) { promise->set_value(std::move(id)); });
  return result;
}

}  // namespace

Publisher::~Publisher() { Close(absl::Seconds(10)).IgnoreError(); }

void Publisher::Publish(const OutgoingMessage& message, Done done) {
  core_->Publish({&message, 1}, Company::kOthers, std::move(done));
}

Publisher::Result Publisher::Publish(const OutgoingMessage& message) {
  return ResultOf(*core_, {&message, 1}, Company::kOthers);
}

void Publisher::PublishBatch(std::span<const OutgoingMessage> messages, Done done) {
  core_->Publish(messages, Company::kNone, std::move(done));
}

Publisher::Result Publisher::PublishBatch(std::span<const OutgoingMessage> messages) {
  return ResultOf(*core_, messages, Company::kNone);
}

void Publisher::Flush() { core_->Flush(); }

absl::Status Publisher::Close(absl::Duration timeout) { return core_->Close(timeout); }

}  // namespace sluice::embedded
