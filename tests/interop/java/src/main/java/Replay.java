// Going back and forth in a subscription.
import com.google.protobuf.util.Timestamps;
import com.google.pubsub.v1.ReceivedMessage;
import com.google.pubsub.v1.SeekRequest;
import com.google.pubsub.v1.Snapshot;
import java.util.List;

final class Replay {
  static void seekAndSnapshot() throws Exception {
    Stage.Pair made = Stage.make(fields -> fields.setRetainAckedMessages(true));
    String subscription = made.subscription();
    long before = System.currentTimeMillis() - 1_000;
    Stage.publish(made.topic(), Stage.numbered(0, 20));
    String snapshot = Stage.fresh("snapshot");
    Snapshot created = Client.subscriptions.createSnapshot(snapshot, subscription);
    Stage.same(List.of(snapshot, made.topic()), List.of(created.getName(), created.getTopic()), "snapshot");

    takes(subscription, 20);
    Client.subscriptions.seek(SeekRequest.newBuilder().setSubscription(subscription).setSnapshot(snapshot).build());
    takes(subscription, 20);
    Stage.publish(made.topic(), Stage.numbered(20, 25));
    seekTo(subscription, System.currentTimeMillis() + 3_600_000);
    Stage.nothingComes(subscription);
    seekTo(subscription, before);
    takes(subscription, 25);
    Client.subscriptions.deleteSnapshot(snapshot);
  }

  private static void seekTo(String subscription, long milliseconds) {
    Client.subscriptions.seek(SeekRequest.newBuilder()
        .setSubscription(subscription).setTime(Timestamps.fromMillis(milliseconds)).build());
  }

  /** Receives and acknowledges the first `count` messages, and no more. */
  private static void takes(String subscription, int count) throws Exception {
    List<ReceivedMessage> received = Stage.pull(subscription, count);
    Stage.acknowledge(subscription, received);
    List<Integer> numbers = received.stream().map(r -> Stage.number(r.getMessage())).sorted().toList();
    Stage.same(Stage.range(0, count), numbers, "taken");
    Stage.nothingComes(subscription);
  }

  private Replay() {}
}
