// What the chapters share: topics and subscriptions with names of their own, what to do with them, and waiting.
import com.google.api.core.ApiFuture;
import com.google.api.core.ApiFutures;
import com.google.api.gax.rpc.ApiException;
import com.google.cloud.pubsub.v1.Publisher;
import com.google.protobuf.ByteString;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.PullRequest;
import com.google.pubsub.v1.ReceivedMessage;
import com.google.pubsub.v1.Subscription;
import com.google.pubsub.v1.Topic;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;

final class Stage {
  static final String PROJECT = System.getenv().getOrDefault("SLUICE_PROJECT", "interop");
  /** For what should come at once; never decides how fast something is. */
  static final Duration PATIENCE = Duration.ofSeconds(30);

  record Pair(String topic, String subscription) {}

  /** One line for who runs the story, at once. */
  static void say(String line) {
    System.out.println(line);
    System.out.flush();
  }

  static String fresh(String kind) {
    String random = UUID.randomUUID().toString().replace("-", "").substring(0, 12);
    return "projects/%s/%ss/java-%s-%s".formatted(PROJECT, kind, kind, random);
  }

  /** The last part of a full name. */
  static String shortName(String name) {
    return name.substring(name.lastIndexOf('/') + 1);
  }

  /** A new topic; its full name. */
  static String makeTopic() {
    return Client.topics.createTopic(Topic.newBuilder().setName(fresh("topic")).build()).getName();
  }

  /** A new subscription of `topic`; its full name. */
  static String makeSubscription(String topic, UnaryOperator<Subscription.Builder> fields) {
    Subscription.Builder wanted = Subscription.newBuilder().setName(fresh("subscription")).setTopic(topic);
    return Client.subscriptions.createSubscription(fields.apply(wanted).build()).getName();
  }

  /** A new topic with one subscription. */
  static Pair make(UnaryOperator<Subscription.Builder> fields) {
    String topic = makeTopic();
    return new Pair(topic, makeSubscription(topic, fields));
  }

  static Pair make() {
    return make(fields -> fields);
  }

  static PubsubMessage message(String data, Map<String, String> attributes) {
    return PubsubMessage.newBuilder().setData(ByteString.copyFromUtf8(data)).putAllAttributes(attributes).build();
  }

  static PubsubMessage message(String data) {
    return message(data, Map.of());
  }

  static List<Integer> range(int from, int to) {
    return IntStream.range(from, to).boxed().toList();
  }

  /** Messages whose data are the numbers from `from` up to `to`. */
  static List<PubsubMessage> numbered(int from, int to) {
    return range(from, to).stream().map(i -> message("" + i)).toList();
  }

  static int number(PubsubMessage message) {
    return Integer.parseInt(message.getData().toStringUtf8());
  }

  /** Publishes through the client's own batches; the message ids. */
  static List<String> publish(String topic, List<PubsubMessage> messages, UnaryOperator<Publisher.Builder> options)
      throws Exception {
    Publisher publisher = options.apply(Client.publisher(topic)).build();
    try {
      List<ApiFuture<String>> ids = messages.stream().map(publisher::publish).toList();
      return await(ApiFutures.allAsList(ids));
    } finally {
      publisher.shutdown();
    }
  }

  static List<String> publish(String topic, List<PubsubMessage> messages) throws Exception {
    return publish(topic, messages, options -> options);
  }

  static <T> T await(Future<T> future) throws InterruptedException, ExecutionException, TimeoutException {
    return future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
  }

  /** Waits until `done`; throws an error that names `what` after `patience`. */
  static void eventually(Duration patience, Supplier<String> what, Callable<Boolean> done) throws Exception {
    for (Instant end = Instant.now().plus(patience); !done.call(); Thread.sleep(20)) {
      if (Instant.now().isAfter(end)) throw new AssertionError("not within " + patience.toSeconds() + " s: " + what.get());
    }
  }

  static void eventually(Supplier<String> what, Callable<Boolean> done) throws Exception {
    eventually(PATIENCE, what, done);
  }

  /** What is there at once; an empty list when nothing is. */
  @SuppressWarnings("deprecation") // It is deprecated because it says "at once", which is what is wanted here.
  static List<ReceivedMessage> pullAtOnce(String subscription, int most) {
    PullRequest request = PullRequest.newBuilder()
        .setSubscription(subscription).setMaxMessages(most).setReturnImmediately(true).build();
    return Client.subscriptions.pull(request).getReceivedMessagesList();
  }

  /** `count` messages by unary pulls, left unacknowledged; throws when they do not come. */
  static List<ReceivedMessage> pull(String subscription, int count) throws Exception {
    List<ReceivedMessage> received = new ArrayList<>();
    eventually(() -> "pulled %d of %d messages".formatted(received.size(), count), () -> {
      received.addAll(pullAtOnce(subscription, count - received.size()));
      return received.size() >= count;
    });
    return received;
  }

  static ReceivedMessage pullOne(String subscription) throws Exception {
    return pull(subscription, 1).get(0);
  }

  /** Throws when a message comes within `wait`. */
  static void nothingComes(String subscription, Duration wait) throws InterruptedException {
    for (Instant end = Instant.now().plus(wait); Instant.now().isBefore(end); Thread.sleep(100)) {
      int came = pullAtOnce(subscription, 10).size();
      check(came == 0, came + " messages that should be gone");
    }
  }

  static void nothingComes(String subscription) throws InterruptedException {
    nothingComes(subscription, Duration.ofSeconds(1));
  }

  static List<String> ackIds(List<ReceivedMessage> received) {
    return received.stream().map(ReceivedMessage::getAckId).toList();
  }

  static void acknowledge(String subscription, List<ReceivedMessage> received) {
    if (!received.isEmpty()) Client.subscriptions.acknowledge(subscription, ackIds(received));
  }

  /** Sets the deadline of what was pulled; 0 is a nack. */
  static void extend(String subscription, ReceivedMessage received, int seconds) {
    Client.subscriptions.modifyAckDeadline(subscription, ackIds(List.of(received)), seconds);
  }

  /** The error of a call that must be refused. */
  static ApiException refusal(Callable<?> call) throws Exception {
    try {
      call.call();
    } catch (ApiException error) {
      return error;
    }
    throw new AssertionError("it was accepted");
  }

  static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  static void same(Object expected, Object actual, String what) {
    check(Objects.equals(expected, actual), "%s: %s instead of %s".formatted(what, actual, expected));
  }

  private Stage() {}
}
