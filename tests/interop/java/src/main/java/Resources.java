// Topics, subscriptions and snapshots as things to make, change and list.
import com.google.api.gax.paging.Page;
import com.google.api.gax.rpc.ApiException;
import com.google.api.gax.rpc.StatusCode;
import com.google.protobuf.FieldMask;
import com.google.protobuf.util.Durations;
import com.google.pubsub.v1.DeadLetterPolicy;
import com.google.pubsub.v1.DetachSubscriptionRequest;
import com.google.pubsub.v1.ListSnapshotsRequest;
import com.google.pubsub.v1.ListSubscriptionsRequest;
import com.google.pubsub.v1.ListTopicSnapshotsRequest;
import com.google.pubsub.v1.ListTopicSubscriptionsRequest;
import com.google.pubsub.v1.ListTopicsRequest;
import com.google.pubsub.v1.RetryPolicy;
import com.google.pubsub.v1.Snapshot;
import com.google.pubsub.v1.Subscription;
import com.google.pubsub.v1.Topic;
import com.google.pubsub.v1.UpdateSubscriptionRequest;
import com.google.pubsub.v1.UpdateTopicRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.StreamSupport;

final class Resources {
  private static final int PAGE_SIZE = 2;

  static void updateAndList() throws Exception {
    Stage.Pair made = Stage.make();
    String topic = made.topic();
    updates(topic, made.subscription());

    List<String> topics = new ArrayList<>(List.of(topic));
    List<String> subscriptions = new ArrayList<>(List.of(made.subscription()));
    List<String> snapshots = Stage.range(0, 3).stream().map(i -> Stage.fresh("snapshot")).toList();
    for (int i = 0; i < 4; i++) {
      topics.add(Stage.makeTopic());
      subscriptions.add(Stage.makeSubscription(topic, fields -> fields));
    }
    snapshots.forEach(name -> Client.subscriptions.createSnapshot(name, made.subscription()));
    listsOf(topic, subscriptions, snapshots);
    listsOfTheProject(topics, subscriptions, snapshots);

    String detached = subscriptions.get(1);
    Client.topics.detachSubscription(DetachSubscriptionRequest.newBuilder().setSubscription(detached).build());
    ApiException error = Stage.refusal(() -> Client.subscriptions.pull(detached, 1));
    Stage.same(StatusCode.Code.FAILED_PRECONDITION, error.getStatusCode().getCode(), error.getMessage());
    Stage.check(Client.subscriptions.getSubscription(detached).getDetached(), "it does not say detached");
    Client.topics.deleteTopic(topic);
    String gone = Client.subscriptions.getSubscription(made.subscription()).getTopic();
    Stage.same("_deleted-topic_", gone, "topic");
  }

  private static void listsOf(String topic, List<String> subscriptions, List<String> snapshots) {
    ListTopicSubscriptionsRequest ofSubscriptions =
        ListTopicSubscriptionsRequest.newBuilder().setTopic(topic).setPageSize(PAGE_SIZE).build();
    List<String> listed = names(Client.topics.listTopicSubscriptions(ofSubscriptions).iteratePages(), name -> name);
    Stage.same(subscriptions.stream().sorted().toList(), listed, "subscriptions of the topic");
    ListTopicSnapshotsRequest ofSnapshots =
        ListTopicSnapshotsRequest.newBuilder().setTopic(topic).setPageSize(PAGE_SIZE).build();
    listed = names(Client.topics.listTopicSnapshots(ofSnapshots).iteratePages(), name -> name);
    Stage.same(snapshots.stream().sorted().toList(), listed, "snapshots of the topic");
  }

  private static void listsOfTheProject(List<String> topics, List<String> subscriptions, List<String> snapshots) {
    String project = "projects/" + Stage.PROJECT;
    ListTopicsRequest ofTopics = ListTopicsRequest.newBuilder().setProject(project).setPageSize(PAGE_SIZE).build();
    contains(names(Client.topics.listTopics(ofTopics).iteratePages(), Topic::getName), topics);
    ListSubscriptionsRequest ofSubscriptions =
        ListSubscriptionsRequest.newBuilder().setProject(project).setPageSize(PAGE_SIZE).build();
    contains(
        names(Client.subscriptions.listSubscriptions(ofSubscriptions).iteratePages(), Subscription::getName),
        subscriptions);
    ListSnapshotsRequest ofSnapshots =
        ListSnapshotsRequest.newBuilder().setProject(project).setPageSize(PAGE_SIZE).build();
    contains(names(Client.subscriptions.listSnapshots(ofSnapshots).iteratePages(), Snapshot::getName), snapshots);
  }

  /** The names on all pages. */
  private static <T> List<String> names(Iterable<? extends Page<T>> pages, Function<T, String> name) {
    List<String> names = new ArrayList<>();
    for (Page<T> page : pages) {
      List<String> found = StreamSupport.stream(page.getValues().spliterator(), false).map(name).toList();
      Stage.check(found.size() <= PAGE_SIZE, "a page of " + found.size());
      names.addAll(found);
    }
    return names.stream().sorted().toList();
  }

  /** Others work in the project too. */
  private static void contains(List<String> listed, List<String> made) {
    Stage.same(made.stream().sorted().toList(), listed.stream().filter(made::contains).toList(), "ours of the project");
  }

  private static void updates(String topic, String subscription) {
    Client.topics.updateTopic(UpdateTopicRequest.newBuilder()
        .setTopic(Topic.newBuilder().setName(topic).putLabels("team", "blue"))
        .setUpdateMask(FieldMask.newBuilder().addPaths("labels")).build());
    Stage.same(Map.of("team", "blue"), Client.topics.getTopic(topic).getLabelsMap(), "labels");

    Subscription changed = Subscription.newBuilder()
        .setName(subscription)
        .putLabels("team", "red")
        .setAckDeadlineSeconds(42)
        .setRetryPolicy(RetryPolicy.newBuilder()
            .setMinimumBackoff(Durations.fromSeconds(5)).setMaximumBackoff(Durations.fromSeconds(50)))
        .setDeadLetterPolicy(DeadLetterPolicy.newBuilder()
            .setDeadLetterTopic(Stage.makeTopic()).setMaxDeliveryAttempts(7))
        .setRetainAckedMessages(true)
        .build();
    FieldMask mask = FieldMask.newBuilder()
        .addAllPaths(List.of("labels", "ack_deadline_seconds", "retry_policy", "dead_letter_policy")).build();
    Client.subscriptions.updateSubscription(
        UpdateSubscriptionRequest.newBuilder().setSubscription(changed).setUpdateMask(mask).build());
    Subscription got = Client.subscriptions.getSubscription(subscription);
    Stage.same(changed.getLabelsMap(), got.getLabelsMap(), "labels");
    Stage.same(42, got.getAckDeadlineSeconds(), "ack deadline");
    Stage.same(changed.getRetryPolicy(), got.getRetryPolicy(), "retry policy");
    Stage.same(changed.getDeadLetterPolicy(), got.getDeadLetterPolicy(), "dead letter policy");
    Stage.check(!got.getRetainAckedMessages(), "what the mask does not name was changed");
  }

  private Resources() {}
}
