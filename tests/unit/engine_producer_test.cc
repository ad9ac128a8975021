// Batches that come again are stored once.
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "tests/support/engine_fixture.h"

namespace sluice {
namespace {

class EngineProducerTest : public EngineFixture {
 protected:
  void SetUp() override { ASSERT_TRUE(CreateTopic("orders").ok()); }

  absl::StatusOr<Published> PublishNumbered(const ProducerTag& tag,
                                            const std::vector<std::string>& payloads) {
    Ref<Batch> batch = MakeBatch(payloads);
    batch->set_producer(tag);
    absl::StatusOr<Published> result = absl::UnknownError("no answer");
    FindTopic("orders")->Publish(batch, [&](const auto& published) { result = published; });
    return result;
  }
};

TEST_F(EngineProducerTest, ARepeatGetsTheFirstAnswerAlsoAfterARestart) {
  ASSERT_EQ(PublishNumbered({"till", 0, 1}, {"a", "b"})->first, Offset(1));
  ASSERT_EQ(PublishNumbered({"till", 0, 2}, {"c"})->first, Offset(3));
  for (int pass = 0; pass < 2; ++pass) {
    const auto again = PublishNumbered({"till", 0, 1}, {"a", "b"});
    EXPECT_EQ(again->first, Offset(1));
    EXPECT_EQ(again->count, 2u);
    EXPECT_EQ(FindTopic("orders")->log().extent().next, Offset(4));
    Reopen();
  }
  EXPECT_EQ(metrics_.engine.repeated_batches.value(), 2u);
  EXPECT_EQ(PublishNumbered({"till", 0, 3}, {"d"})->first, Offset(4));
}

TEST_F(EngineProducerTest, TheOlderOfTwoProducersWithOneNameIsFenced) {
  ASSERT_TRUE(PublishNumbered({"till", 1, 1}, {"old"}).ok());
  ASSERT_EQ(PublishNumbered({"till", 2, 1}, {"new"})->first, Offset(2));
  EXPECT_EQ(ReasonOf(PublishNumbered({"till", 1, 2}, {"late"}).status()), Reason::kProducerFenced);
  EXPECT_EQ(FindTopic("orders")->log().extent().next, Offset(3));
}

TEST_F(EngineProducerTest, ARepeatWhileTheFirstIsUnderWayWaitsForIt) {
  ProducerGate gate;
  const ProducerTag tag{"till", 0, 1};
  int answers = 0;
  ProducerGate::Done first = [&](const auto&) { ++answers; };
  ProducerGate::Done second = first;
  EXPECT_TRUE(gate.Begin(tag, &first));
  EXPECT_FALSE(gate.Begin(tag, &second));
  ProducerGate::Done other = first;
  EXPECT_TRUE(gate.Begin({"till", 0, 2}, &other));
  const auto waiting = gate.End(tag);
  ASSERT_EQ(waiting.size(), 1u);
  waiting[0](Published{Offset(1), 1});
  EXPECT_EQ(answers, 1);
  EXPECT_TRUE(gate.Begin(tag, &first)) << "nobody is there any more";
}

}  // namespace
}  // namespace sluice
