// What is published comes back as it was, however it was put into requests.
import com.google.api.gax.batching.BatchingSettings;
import com.google.protobuf.ByteString;
import com.google.protobuf.util.Timestamps;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.ReceivedMessage;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

final class Publishing {
  static void publishesBatched() throws Exception {
    Stage.Pair made = Stage.make();
    long began = System.currentTimeMillis();
    List<PubsubMessage> messages = Stage.range(0, 2000).stream()
        .map(i -> Stage.message("message " + i, Map.of("index", "" + i, "colour", "blue"))).toList();
    BatchingSettings batches = BatchingSettings.newBuilder()
        .setElementCountThreshold(100L).setDelayThresholdDuration(Duration.ofMillis(10)).build();
    List<String> ids = Stage.publish(made.topic(), messages, options -> options.setBatchingSettings(batches));
    Listener listener = Listener.open(made.subscription(), (message, reply) -> reply.ack());
    try (listener) {
      listener.receives(2000);
    }
    Stage.nothingComes(made.subscription());
    Stage.same(2000, listener.received.size(), "messages");
    // Throws when an id is there twice.
    Map<String, PubsubMessage> byId =
        listener.received.stream().collect(Collectors.toMap(PubsubMessage::getMessageId, Function.identity()));
    for (int i : Stage.range(0, 2000)) {
      String id = ids.get(i);
      Stage.check(id.matches("[0-9]+"), "message id " + id);
      PubsubMessage message = byId.get(id);
      Stage.check(message != null, "not received: " + id);
      Stage.same(messages.get(i).getData(), message.getData(), "data");
      Stage.same(messages.get(i).getAttributesMap(), message.getAttributesMap(), "attributes");
      long published = Timestamps.toMillis(message.getPublishTime());
      Stage.check(Math.abs(published - began) < 60_000, "published at " + message.getPublishTime());
    }
  }

  static void thousandInOneRequest() throws Exception {
    Stage.Pair made = Stage.make();
    List<PubsubMessage> messages = Stage.numbered(0, 1000);
    List<String> ids = Client.topics.publish(made.topic(), messages).getMessageIdsList();
    Stage.same(1000, ids.size(), "message ids");
    List<ReceivedMessage> received = Stage.pull(made.subscription(), 1000);
    Map<String, Integer> byId = received.stream()
        .map(ReceivedMessage::getMessage).collect(Collectors.toMap(PubsubMessage::getMessageId, Stage::number));
    Stage.same(Stage.range(0, 1000), ids.stream().map(byId::get).toList(), "received");
    Stage.acknowledge(made.subscription(), received);
  }

  static void nineMegabyteMessage() throws Exception {
    Stage.Pair made = Stage.make();
    byte[] bytes = new byte[9_000_000];
    for (int i = 0; i < bytes.length; i++) bytes[i] = (byte) (i % 251);
    PubsubMessage message = PubsubMessage.newBuilder().setData(ByteString.copyFrom(bytes)).build();
    Stage.publish(made.topic(), List.of(message));
    try (Listener listener = Listener.open(made.subscription(), (m, reply) -> reply.ack())) {
      listener.receives(1);
      Stage.check(listener.received.get(0).getData().equals(message.getData()), "other bytes");
    }
  }

  static void filtered() throws Exception {
    Stage.Pair made = Stage.make(fields -> fields.setFilter("attributes.color = \"red\" AND NOT attributes:skip"));
    Stage.publish(made.topic(), List.of(
        Stage.message("no attributes"),
        Stage.message("first", Map.of("color", "red")),
        Stage.message("skipped", Map.of("color", "red", "skip", "")),
        Stage.message("blue", Map.of("color", "blue")),
        Stage.message("second", Map.of("color", "red", "size", "big"))));
    List<String> received = Stage.pull(made.subscription(), 2).stream()
        .map(r -> r.getMessage().getData().toStringUtf8()).sorted().toList();
    Stage.same(List.of("first", "second"), received, "received");
    Stage.nothingComes(made.subscription());
  }

  private Publishing() {}
}
