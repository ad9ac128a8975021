// Messages of one key come in order, also after one of them was refused.
import com.google.cloud.pubsub.v1.MessageReceiver;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.ReceivedMessage;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

final class Ordering {
  private static final String REFUSED_KEY = "key-3";
  private static final int REFUSED = 20;

  static void ordered() throws Exception {
    Stage.Pair made = Stage.make(fields -> fields.setEnableMessageOrdering(true));
    List<String> keys = Stage.range(0, 10).stream().map(k -> "key-" + k).toList();
    publish(made.topic(), keys.stream().flatMap(key -> numbered(50, key).stream()).toList());
    AtomicBoolean refused = new AtomicBoolean();
    MessageReceiver handle = (message, reply) -> {
      boolean chosen = message.getOrderingKey().equals(REFUSED_KEY) && Stage.number(message) == REFUSED;
      if (chosen && refused.compareAndSet(false, true)) {
        reply.nack();
      } else {
        reply.ack();
      }
    };
    try (Listener listener = Listener.open(made.subscription(), handle)) {
      Stage.eventually(
          () -> "all of %d messages, 20 of key-3 twice: %s".formatted(listener.received.size(), of(listener, REFUSED_KEY)),
          () -> keys.stream().allMatch(key -> of(listener, key).containsAll(Stage.range(0, 50)))
              && returned(of(listener, REFUSED_KEY)));
      for (String key : keys) {
        if (!key.equals(REFUSED_KEY)) Stage.same(Stage.range(0, 50), of(listener, key), key);
      }
      // What was on its way when 20 was refused may still come: in order up to its return, and in order from there on.
      List<Integer> numbers = of(listener, REFUSED_KEY);
      int again = numbers.lastIndexOf(REFUSED);
      boolean rise = rises(numbers.subList(0, again)) && rises(numbers.subList(again, numbers.size()));
      Stage.check(rise, REFUSED_KEY + ": " + numbers);
    }
    refusedTakesItsSuccessorsAlong();
  }

  private static void refusedTakesItsSuccessorsAlong() throws Exception {
    Stage.Pair made = Stage.make(fields -> fields.setEnableMessageOrdering(true));
    String subscription = made.subscription();
    publish(made.topic(), numbered(10, "key"));
    List<ReceivedMessage> first = Client.subscriptions.pull(subscription, 10).getReceivedMessagesList();
    int middle = first.size() / 2;
    Stage.acknowledge(subscription, first.subList(0, middle));
    Stage.extend(subscription, first.get(middle), 0);
    List<Integer> seen = new ArrayList<>();
    while (seen.size() < 10 - middle) {
      List<ReceivedMessage> received = Stage.pull(subscription, 1);
      received.forEach(r -> seen.add(Stage.number(r.getMessage())));
      Stage.acknowledge(subscription, received);
    }
    Stage.same(Stage.range(middle, 10), seen, "after %d of %d pulled was refused".formatted(middle, first.size()));
  }

  private static List<PubsubMessage> numbered(int count, String key) {
    return Stage.numbered(0, count).stream().map(m -> m.toBuilder().setOrderingKey(key).build()).toList();
  }

  private static void publish(String topic, List<PubsubMessage> messages) throws Exception {
    Stage.publish(topic, messages, options -> options.setEnableMessageOrdering(true));
  }

  /** The numbers that came of one key. */
  private static List<Integer> of(Listener listener, String key) {
    return listener.received.stream().filter(m -> m.getOrderingKey().equals(key)).map(Stage::number).toList();
  }

  private static boolean returned(List<Integer> numbers) {
    return numbers.lastIndexOf(REFUSED) > numbers.indexOf(REFUSED);
  }

  private static boolean rises(List<Integer> numbers) {
    return IntStream.range(1, numbers.size()).allMatch(i -> numbers.get(i - 1) < numbers.get(i));
  }

  private Ordering() {}
}
