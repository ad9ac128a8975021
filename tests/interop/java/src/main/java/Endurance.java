// Streams and messages that outlive silence, a crash of the server and their subscriber.
import com.google.api.core.ApiFuture;
import com.google.api.gax.grpc.GrpcCallContext;
import com.google.api.gax.retrying.RetrySettings;
import com.google.api.gax.rpc.ApiException;
import com.google.cloud.pubsub.v1.MessageReceiver;
import com.google.cloud.pubsub.v1.Publisher;
import com.google.cloud.pubsub.v1.SubscriberShutdownSettings;
import com.google.cloud.pubsub.v1.SubscriberShutdownSettings.ShutdownMode;
import com.google.pubsub.v1.PublishRequest;
import com.google.pubsub.v1.PubsubMessage;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;

final class Endurance {
  /** For what a server that starts again needs. */
  private static final Duration LONG = Duration.ofSeconds(60);
  private static final Duration ONE_TRY = Duration.ofSeconds(5);
  /** The client's own pauses between tries grow to a minute. */
  private static final RetrySettings OFTEN = RetrySettings.newBuilder()
      .setTotalTimeoutDuration(LONG)
      .setInitialRetryDelayDuration(Duration.ofMillis(100))
      .setRetryDelayMultiplier(2)
      .setMaxRetryDelayDuration(Duration.ofSeconds(1))
      .setInitialRpcTimeoutDuration(ONE_TRY)
      .setMaxRpcTimeoutDuration(ONE_TRY)
      .build();
  private static final Duration SHORTEST_DEADLINE = Duration.ofSeconds(10);

  static void idleAMinute() throws Exception {
    Stage.Pair made = Stage.make();
    try (Listener listener = Listener.open(made.subscription(), (message, reply) -> reply.ack())) {
      Thread.sleep(65_000);
      Stage.publish(made.topic(), List.of(Stage.message("after a minute")));
      long began = System.nanoTime();
      listener.receives(1);
      long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
      Stage.check(took < 1_000, "came after " + took + " ms");
      Stage.same(List.of(), listener.ended, "streams that ended meanwhile");
    }
  }

  static void cleanShutdown() throws Exception {
    Stage.Pair made = Stage.make();
    Stage.publish(made.topic(), Stage.numbered(0, 50));
    Set<String> acked = new HashSet<>();
    MessageReceiver acksHalf = (message, reply) -> {
      synchronized (acked) {
        if (acked.size() < 25 && acked.add(message.getMessageId())) reply.ack();
      }
    };
    // Otherwise the client waits for the half that its receiver keeps.
    SubscriberShutdownSettings givesBack =
        SubscriberShutdownSettings.newBuilder().setMode(ShutdownMode.NACK_IMMEDIATELY).build();
    // What is given back may be sent once more on the stream that is just ending: it comes again after this deadline.
    Listener first = Listener.open(made.subscription(), acksHalf, options -> options
        .setSubscriberShutdownSettings(givesBack).setMaxDurationPerAckExtensionDuration(SHORTEST_DEADLINE));
    long began;
    try (first) {
      first.receives(50);
      began = System.nanoTime();
    }
    long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    Stage.check(took < 10_000, "closed after " + took + " ms");
    Set<String> left = ids(first);
    left.removeAll(acked);
    Listener second = Listener.open(made.subscription(), (message, reply) -> reply.ack());
    try (second) {
      second.receives(25);
    }
    Stage.same(left, ids(second), "what was left");
    Stage.nothingComes(made.subscription());
  }

  private static Set<String> ids(Listener listener) {
    return listener.received.stream().map(PubsubMessage::getMessageId).collect(Collectors.toSet());
  }

  static void survivesRestart() throws Exception {
    Stage.Pair made = Stage.make();
    Set<String> received = ConcurrentHashMap.newKeySet();
    MessageReceiver handle = (message, reply) -> {
      received.add(message.getMessageId());
      reply.ack();
    };
    Stream stream = new Stream(made.topic());
    try (Listener listener = Listener.open(made.subscription(), handle)) {
      stream.publishUntil("100 messages confirmed", () -> stream.confirmed.size() >= 100);
      listener.receives(100);
      Stage.say("RESTART");
      stream.publishUntil("the server goes away", () -> !stream.answered);
      int enough = stream.confirmed.size() + 100;
      stream.publishUntil("100 more confirmed by the server that is back", () -> stream.confirmed.size() >= enough);
      List<String> confirmed = stream.allConfirmed();
      Stage.eventually(
          LONG,
          () -> "%d confirmed messages received: %d came".formatted(confirmed.size(), received.size()),
          () -> received.containsAll(confirmed));
    } finally {
      stream.batches.shutdown();
    }
  }

  // One message after the other, each called once, so that the program sees the server go; beside it the client's own
  // publisher, which tries again until it is confirmed.
  private static final class Stream {
    final List<String> confirmed = new ArrayList<>();
    final Publisher batches;
    boolean answered;
    private final List<ApiFuture<String>> patient = new ArrayList<>();
    private final PublishRequest once;

    Stream(String topic) throws Exception {
      batches = Client.publisher(topic).setRetrySettings(OFTEN).build();
      once = PublishRequest.newBuilder().setTopic(topic).addMessages(Stage.message("once")).build();
    }

    void publishUntil(String what, BooleanSupplier done) throws Exception {
      Stage.eventually(LONG, () -> what, () -> {
        publishOne();
        return done.getAsBoolean();
      });
    }

    private void publishOne() {
      patient.add(batches.publish(Stage.message("patient")));
      GrpcCallContext soon = GrpcCallContext.createDefault().withTimeoutDuration(ONE_TRY);
      try {
        confirmed.addAll(Client.topics.publishCallable().call(once, soon).getMessageIdsList());
        answered = true;
      } catch (ApiException error) {
        answered = false;
      }
    }

    /** Waits for the patient publisher too. */
    List<String> allConfirmed() throws Exception {
      for (ApiFuture<String> id : patient) confirmed.add(id.get(LONG.toSeconds(), TimeUnit.SECONDS));
      return confirmed;
    }
  }

  private Endurance() {}
}
