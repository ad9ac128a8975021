// What is refused, with which code and in which words.
import com.google.api.gax.rpc.ApiException;
import com.google.api.gax.rpc.StatusCode.Code;
import com.google.protobuf.ByteString;
import com.google.protobuf.FieldMask;
import com.google.protobuf.util.Durations;
import com.google.pubsub.v1.ExpirationPolicy;
import com.google.pubsub.v1.ListTopicsRequest;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.PushConfig;
import com.google.pubsub.v1.Subscription;
import com.google.pubsub.v1.UpdateSubscriptionRequest;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;

final class Errors {
  private static final Pattern ANY = Pattern.compile(".*", Pattern.DOTALL);

  private record Case(String asked, Callable<?> call, Code code, Pattern text) {}

  private final List<Case> cases = new ArrayList<>();
  private final String topic = Stage.makeTopic();
  private final String subscription = Stage.makeSubscription(topic, fields -> fields);

  static void errors() throws Exception {
    Errors errors = new Errors();
    errors.names();
    errors.publishing();
    errors.acknowledging();
    errors.updating();
    errors.creating();
    List<String> differences = new ArrayList<>();
    for (Case one : errors.cases) differences.addAll(difference(one));
    Stage.same(List.of(), differences, "answers");
  }

  private static List<String> difference(Case one) throws Exception {
    try {
      ApiException error = Stage.refusal(one.call);
      Code code = error.getStatusCode().getCode();
      String text = String.valueOf(Status.fromThrowable(error).getDescription());
      boolean same = code == one.code && one.text.matcher(text).matches();
      return same ? List.of() : List.of("%s: %s %s".formatted(one.asked, code, text));
    } catch (AssertionError accepted) {
      return List.of(one.asked + ": " + accepted.getMessage());
    }
  }

  private void names() {
    String bad = "projects/" + Stage.PROJECT + "/topics/9starts-with-a-digit";
    String missing = Stage.fresh("topic");
    refused("bad name", () -> Client.topics.createTopic(bad), Code.INVALID_ARGUMENT,
        "Invalid resource name given (name=" + bad + "). Refer to "
            + "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.");
    refused("topic exists", () -> Client.topics.createTopic(topic), Code.ALREADY_EXISTS,
        "Resource already exists in the project (resource=" + Stage.shortName(topic) + ").");
    refused("subscription exists", create(fields -> fields.setName(subscription)), Code.ALREADY_EXISTS,
        "Resource already exists in the project (resource=" + Stage.shortName(subscription) + ").");
    String notFound = "Resource not found (resource=" + Stage.shortName(missing) + ").";
    refused("get a missing topic", () -> Client.topics.getTopic(missing), Code.NOT_FOUND, notFound);
    refused("publish to a missing topic", () -> Client.topics.publish(missing, Stage.numbered(0, 1)), Code.NOT_FOUND,
        notFound);
    refused("subscribe to a missing topic", create(fields -> fields.setTopic(missing)), Code.NOT_FOUND, notFound);
    refused("pull from a missing subscription", () -> Client.subscriptions.pull(subscription + "x", 1), Code.NOT_FOUND,
        "Resource not found (resource=" + Stage.shortName(subscription) + "x).");
    ListTopicsRequest page =
        ListTopicsRequest.newBuilder().setProject("projects/" + Stage.PROJECT).setPageSize(-1).build();
    invalid("page size -1", () -> Client.topics.listTopics(page), ANY);
  }

  private void publishing() {
    PubsubMessage big = PubsubMessage.newBuilder().setData(ByteString.copyFrom(new byte[10_000_001])).build();
    invalid("0 messages", publish(List.of()),
        "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.");
    invalid("1100 messages", publish(Collections.nCopies(1100, Stage.message("a"))),
        "The value for message_count is too large. You passed 1100 in the request, but the maximum value is 1000.");
    invalid("request size", publish(List.of(big)), Pattern.compile("The value for request_size is too large\\. "
        + "You passed 100[0-9]{5} in the request, but the maximum value is 10000000\\."));
    invalid("empty message", publish(List.of(PubsubMessage.getDefaultInstance())), ANY);
  }

  private void acknowledging() throws Exception {
    Stage.publish(topic, List.of(Stage.message("a")));
    List<String> held = Stage.ackIds(Stage.pull(subscription, 1));
    invalid("modack 601", done(() -> Client.subscriptions.modifyAckDeadline(subscription, held, 601)),
        "Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 0 and 600 seconds.");
    invalid("no ack id", done(() -> Client.subscriptions.acknowledge(subscription, List.of())),
        "You have not specified an ack ID in the request.");
    invalid("bad ack id", done(() -> Client.subscriptions.acknowledge(subscription, List.of("bad"))),
        "You have passed an invalid ack ID to the service (ack_id=bad).");
    invalid("max_messages 0", () -> Client.subscriptions.pull(subscription, 0),
        "You have passed an invalid argument to the service (argument=max_messages).");
    refused("pull on push", this::pullOnPush, Code.FAILED_PRECONDITION,
        "This method is not supported for this subscription type.");
  }

  private Object pullOnPush() {
    PushConfig push = PushConfig.newBuilder().setPushEndpoint("https://example.com/push").build();
    return Client.subscriptions.pull(Stage.makeSubscription(topic, fields -> fields.setPushConfig(push)), 1);
  }

  private void updating() {
    String mask = "Invalid update_mask provided in the UpdateSubscriptionRequest: ";
    invalid("mask missing", update(List.of(), fields -> fields.putLabels("a", "b")),
        "The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list.");
    invalid("mask immutable", update(List.of("filter"), fields -> fields.setFilter("attributes:a")),
        mask + "the 'filter' field in the Subscription is not mutable.");
    invalid("mask unknown", update(List.of("pushConfig"), fields -> fields), mask + "pushConfig is not a known "
        + "Subscription field. Note that field paths must be of the form 'push_config' rather than 'pushConfig'.");
  }

  private void creating() {
    invalid("retention 9m59s", create(fields -> fields.setMessageRetentionDuration(Durations.fromSeconds(599))),
        "The value for message retention duration is out of bounds. You passed 9m59s in the request, "
            + "but the value must be between 10m and 744h.");
    ExpirationPolicy hour = ExpirationPolicy.newBuilder().setTtl(Durations.fromHours(1)).build();
    invalid("expiration 1h", create(fields -> fields.setExpirationPolicy(hour)),
        "The value for expiration duration is too small. You passed 1h in the request, but the minimum value is 24h.");
    invalid("ack deadline 9", create(fields -> fields.setAckDeadlineSeconds(9)), ANY);
    invalid("bad filter", create(fields -> fields.setFilter("attributes.a = ")), ANY);
  }

  private Callable<?> create(UnaryOperator<Subscription.Builder> fields) {
    return () -> Stage.makeSubscription(topic, fields);
  }

  private Callable<?> publish(List<PubsubMessage> messages) {
    return () -> Client.topics.publish(topic, messages);
  }

  private Callable<?> update(List<String> paths, UnaryOperator<Subscription.Builder> fields) {
    UpdateSubscriptionRequest request = UpdateSubscriptionRequest.newBuilder()
        .setSubscription(fields.apply(Subscription.newBuilder().setName(subscription)))
        .setUpdateMask(FieldMask.newBuilder().addAllPaths(paths)).build();
    return () -> Client.subscriptions.updateSubscription(request);
  }

  private static Callable<?> done(Runnable call) {
    return () -> {
      call.run();
      return null;
    };
  }

  private void refused(String asked, Callable<?> call, Code code, String text) {
    cases.add(new Case(asked, call, code, Pattern.compile(Pattern.quote(text))));
  }

  private void invalid(String asked, Callable<?> call, String text) {
    refused(asked, call, Code.INVALID_ARGUMENT, text);
  }

  private void invalid(String asked, Callable<?> call, Pattern text) {
    cases.add(new Case(asked, call, Code.INVALID_ARGUMENT, text));
  }
}
