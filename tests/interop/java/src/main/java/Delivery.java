// What becomes of a message that is acknowledged, refused, held or left alone.
import com.google.api.gax.batching.FlowControlSettings;
import com.google.api.gax.rpc.ClientStream;
import com.google.api.gax.rpc.ResponseObserver;
import com.google.api.gax.rpc.StreamController;
import com.google.cloud.pubsub.v1.MessageReceiver;
import com.google.cloud.pubsub.v1.Subscriber;
import com.google.protobuf.util.Timestamps;
import com.google.pubsub.v1.DeadLetterPolicy;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.PullRequest;
import com.google.pubsub.v1.PullResponse;
import com.google.pubsub.v1.ReceivedMessage;
import com.google.pubsub.v1.StreamingPullRequest;
import com.google.pubsub.v1.StreamingPullResponse;
import io.grpc.Status;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

final class Delivery {
  /** Longer than the deadline of a lease that was not settled. */
  private static final Duration PAST_THE_DEADLINE = Duration.ofSeconds(12);

  static void ackAndNack() throws Exception {
    Stage.Pair made = Stage.make();
    Stage.publish(made.topic(), Stage.numbered(0, 100));
    Set<String> seen = ConcurrentHashMap.newKeySet();
    MessageReceiver handle = (message, reply) -> {
      if (seen.add(message.getMessageId())) {
        reply.nack();
      } else {
        reply.ack();
      }
    };
    Listener listener = Listener.open(made.subscription(), handle);
    try (listener) {
      listener.receives(200);
    }
    Stage.nothingComes(made.subscription(), PAST_THE_DEADLINE);
    Stage.same(200, listener.received.size(), "deliveries");
    Stage.same(100, seen.size(), "messages");
  }

  static void deadLetters() throws Exception {
    Stage.Pair graveyard = Stage.make();
    DeadLetterPolicy policy =
        DeadLetterPolicy.newBuilder().setDeadLetterTopic(graveyard.topic()).setMaxDeliveryAttempts(5).build();
    Stage.Pair made = Stage.make(fields -> fields.setDeadLetterPolicy(policy));
    Stage.publish(made.topic(), List.of(Stage.message("poison", Map.of("colour", "green"))));
    PubsubMessage dead;
    Listener listener = Listener.open(made.subscription(), (message, reply) -> reply.nack());
    try (listener) {
      dead = Stage.pullOne(graveyard.subscription()).getMessage();
    }
    Stage.nothingComes(made.subscription());
    List<Integer> attempts = listener.received.stream().map(Subscriber::getDeliveryAttempt).toList();
    Stage.same(List.of(1, 2, 3, 4, 5), attempts, "delivery attempts");
    Stage.same("poison", dead.getData().toStringUtf8(), "data");
    String prefix = "CloudPubSubDeadLetterSource";
    Map<String, String> expected = Map.of(
        "colour", "green",
        prefix + "DeliveryCount", "5",
        prefix + "Subscription", Stage.shortName(made.subscription()),
        prefix + "SubscriptionProject", Stage.PROJECT);
    expected.forEach((key, value) -> Stage.same(value, dead.getAttributesMap().get(key), key));
    String published = dead.getAttributesOrThrow(prefix + "TopicPublishTime");
    long apart = OffsetDateTime.parse(published).toInstant().toEpochMilli()
        - Timestamps.toMillis(listener.received.get(0).getPublishTime());
    Stage.check(Math.abs(apart) < 1_000, "TopicPublishTime " + published);
  }

  static void flowControl() throws Exception {
    String topic = Stage.makeTopic();
    String subscription = Stage.makeSubscription(topic, fields -> fields);
    String heldBack = Stage.makeSubscription(topic, fields -> fields);
    Stage.publish(topic, Stage.numbered(0, 100));
    clientHoldsBack(subscription);
    serverHoldsBack(heldBack);
  }

  private static void clientHoldsBack(String subscription) throws Exception {
    AtomicInteger now = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    // Acknowledged later and elsewhere: the client's own threads are fewer than 10.
    ScheduledExecutorService later = Executors.newSingleThreadScheduledExecutor();
    MessageReceiver handle = (message, reply) -> {
      most.accumulateAndGet(now.incrementAndGet(), Math::max);
      later.schedule(() -> {
        now.decrementAndGet();
        reply.ack();
      }, 20, TimeUnit.MILLISECONDS);
    };
    FlowControlSettings ten = FlowControlSettings.newBuilder().setMaxOutstandingElementCount(10L).build();
    Listener listener = Listener.open(subscription, handle, options -> options.setFlowControlSettings(ten));
    try (listener) {
      listener.receives(100);
    }
    later.shutdown();
    Stage.check(most.get() <= 10, most + " at once");
    Stage.same(100, listener.received.size(), "messages");
  }

  /** The server's part of it: a stream that says 10 gets 10, and more only for what is acknowledged, here by unary calls. */
  private static void serverHoldsBack(String subscription) throws Exception {
    Collector collector = new Collector();
    List<ReceivedMessage> received = collector.received;
    ClientStream<StreamingPullRequest> stream = Client.subscriptions.streamingPullCallable().splitCall(collector);
    try {
      stream.send(StreamingPullRequest.newBuilder().setSubscription(subscription)
          .setStreamAckDeadlineSeconds(60).setMaxOutstandingMessages(10).build());
      Stage.eventually(() -> "10 messages on the stream, not " + received.size(), () -> received.size() >= 10);
      Thread.sleep(1_000);
      Stage.same(10, received.size(), "messages on a stream of max_outstanding_messages 10");
      Stage.acknowledge(subscription, received.subList(0, 4));
      Stage.eventually(() -> "14 messages on the stream, not " + received.size(), () -> received.size() >= 14);
      Thread.sleep(1_000);
      Stage.same(14, received.size(), "messages after 4 were acknowledged");
    } finally {
      stream.closeSendWithError(Status.CANCELLED.asException());
    }
  }

  private static final class Collector implements ResponseObserver<StreamingPullResponse> {
    final List<ReceivedMessage> received = new CopyOnWriteArrayList<>();

    @Override
    public void onStart(StreamController controller) {}

    @Override
    public void onResponse(StreamingPullResponse response) {
      received.addAll(response.getReceivedMessagesList());
    }

    @Override
    public void onError(Throwable error) {}

    @Override
    public void onComplete() {}
  }

  static void unaryPull() throws Exception {
    Stage.Pair made = Stage.make();
    String subscription = made.subscription();
    long began = System.nanoTime();
    Stage.same(List.of(), Stage.pullAtOnce(subscription, 1), "an empty subscription");
    long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    Stage.check(took < 5_000, took + " ms for nothing");

    // A pull that waits gets what is published meanwhile.
    PullRequest request = PullRequest.newBuilder().setSubscription(subscription).setMaxMessages(1).build();
    Future<PullResponse> waiting = Client.subscriptions.pullCallable().futureCall(request);
    Stage.publish(made.topic(), Stage.numbered(0, 1));
    Stage.acknowledge(subscription, Stage.await(waiting).getReceivedMessagesList());

    Stage.publish(made.topic(), Stage.numbered(1, 4));
    List<ReceivedMessage> received = Stage.pull(subscription, 3);
    List<Integer> numbers = received.stream().map(r -> Stage.number(r.getMessage())).sorted().toList();
    Stage.same(List.of(1, 2, 3), numbers, "pulled");
    ReceivedMessage refused = received.get(0);
    ReceivedMessage extended = received.get(1);
    Stage.extend(subscription, refused, 0);
    Stage.extend(subscription, extended, 60);
    Stage.acknowledge(subscription, received.subList(2, 3));
    ReceivedMessage again = Stage.pullOne(subscription);
    Stage.same(refused.getMessage().getMessageId(), again.getMessage().getMessageId(), "the refused one");
    Stage.acknowledge(subscription, List.of(again));
    Stage.nothingComes(subscription, PAST_THE_DEADLINE); // The one that was extended is held.
    Stage.acknowledge(subscription, List.of(extended));
  }

  private Delivery() {}
}
