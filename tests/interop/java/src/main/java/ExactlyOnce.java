// An acknowledgement of an exactly-once subscription is confirmed, or refused with the reason.
import com.google.api.core.ApiFuture;
import com.google.api.gax.rpc.ApiException;
import com.google.api.gax.rpc.StatusCode;
import com.google.cloud.pubsub.v1.AckReplyConsumerWithResponse;
import com.google.cloud.pubsub.v1.AckResponse;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.ReceivedMessage;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

final class ExactlyOnce {
  static void exactlyOnce() throws Exception {
    clientLearnsWhatBecameOfAcks();
    refusalsSayWhy();
  }

  private static void clientLearnsWhatBecameOfAcks() throws Exception {
    Stage.Pair made = Stage.make(fields -> fields.setEnableExactlyOnceDelivery(true));
    Map<String, AckReplyConsumerWithResponse> replies = new ConcurrentHashMap<>();
    try (Listener listener =
        Listener.openConfirming(made.subscription(), (message, reply) -> replies.put(message.getMessageId(), reply))) {
      Stage.publish(made.topic(), Stage.numbered(0, 100));
      Stage.eventually(() -> replies.size() + " of 100 messages " + listener.ended, () -> replies.size() == 100);
      List<ApiFuture<AckResponse>> answers = new ArrayList<>();
      replies.values().forEach(reply -> answers.add(reply.ack()));
      for (ApiFuture<AckResponse> answer : answers) Stage.same(AckResponse.SUCCESSFUL, Stage.await(answer), "ack");

      // Of one that was acknowledged beside it, alone in its request.
      String id = Stage.publish(made.topic(), Stage.numbered(100, 101)).get(0);
      Stage.eventually(() -> "one more message " + listener.ended, () -> replies.containsKey(id));
      PubsubMessage last = listener.received.get(100);
      Stage.acknowledge(made.subscription(), List.of(listener.onTheWire(last)));
      Stage.same(AckResponse.INVALID, Stage.await(replies.get(id).ack()), "ack of what was acknowledged");
      boolean says = listener.responses.stream()
          .allMatch(response -> response.getSubscriptionProperties().getExactlyOnceDeliveryEnabled());
      Stage.check(says, "the stream does not say exactly once");
    }
  }

  private static void refusalsSayWhy() throws Exception {
    Stage.Pair made = Stage.make(fields -> fields.setEnableExactlyOnceDelivery(true));
    String subscription = made.subscription();
    Stage.publish(made.topic(), Stage.numbered(0, 2));
    List<ReceivedMessage> received = Stage.pull(subscription, 2);
    ReceivedMessage settled = received.get(0);
    ReceivedMessage good = received.get(1);
    Stage.acknowledge(subscription, List.of(settled));
    refuses(subscription, List.of(settled, good), settled);
    refuses(subscription, List.of(good), good); // It was applied.

    Stage.publish(made.topic(), Stage.numbered(0, 1));
    ReceivedMessage expired = Stage.pullOne(subscription);
    Stage.extend(subscription, expired, 1);
    ReceivedMessage current = Stage.pullOne(subscription);
    refuses(subscription, List.of(expired), expired);
    Stage.acknowledge(subscription, List.of(current));
  }

  /** Acknowledging `received` is refused, for `bad` alone. */
  private static void refuses(String subscription, List<ReceivedMessage> received, ReceivedMessage bad) throws Exception {
    ApiException error = Stage.refusal(() -> {
      Stage.acknowledge(subscription, received);
      return null;
    });
    Stage.same(StatusCode.Code.INVALID_ARGUMENT, error.getStatusCode().getCode(), error.getMessage());
    String text = Status.fromThrowable(error).getDescription();
    String begins = "Some acknowledgement ids in the request were invalid. This could be because the ";
    Stage.check(text != null && text.startsWith(begins), "text: " + text);
    Stage.same("EXACTLY_ONCE_ACKID_FAILURE", error.getReason(), "reason");
    Stage.same("pubsub.googleapis.com", error.getDomain(), "domain");
    Stage.same(Map.of(bad.getAckId(), "PERMANENT_FAILURE_INVALID_ACK_ID"), error.getMetadata(), "metadata");
  }

  private ExactlyOnce() {}
}
