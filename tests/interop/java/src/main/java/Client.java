// The client, pointed at the server in PUBSUB_EMULATOR_HOST: the Java client does not read that itself.
import com.google.api.gax.batching.BatchingSettings;
import com.google.api.gax.core.CredentialsProvider;
import com.google.api.gax.core.NoCredentialsProvider;
import com.google.api.gax.grpc.GrpcTransportChannel;
import com.google.api.gax.rpc.FixedTransportChannelProvider;
import com.google.api.gax.rpc.TransportChannelProvider;
import com.google.api.gax.rpc.UnaryCallSettings;
import com.google.cloud.pubsub.v1.Publisher;
import com.google.cloud.pubsub.v1.SubscriptionAdminClient;
import com.google.cloud.pubsub.v1.SubscriptionAdminSettings;
import com.google.cloud.pubsub.v1.TopicAdminClient;
import com.google.cloud.pubsub.v1.TopicAdminSettings;
import io.grpc.ClientInterceptor;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;

final class Client {
  static final CredentialsProvider NO_CREDENTIALS = NoCredentialsProvider.create();
  private static final TransportChannelProvider SHARED = provider(channel());

  /** The generated calls: they check nothing before they send. */
  static final TopicAdminClient topics = topicCalls();
  static final SubscriptionAdminClient subscriptions = subscriptionCalls();

  static ManagedChannel channel(ClientInterceptor... interceptors) {
    return ManagedChannelBuilder.forTarget(System.getenv("PUBSUB_EMULATOR_HOST"))
        .usePlaintext()
        .maxInboundMessageSize(Integer.MAX_VALUE)
        .intercept(interceptors)
        .build();
  }

  static TransportChannelProvider provider(ManagedChannel channel) {
    return FixedTransportChannelProvider.create(GrpcTransportChannel.create(channel));
  }

  /** A publisher that makes batches, still to be built. */
  static Publisher.Builder publisher(String topic) {
    return Publisher.newBuilder(topic).setChannelProvider(SHARED).setCredentialsProvider(NO_CREDENTIALS);
  }

  private static TopicAdminClient topicCalls() {
    try {
      TopicAdminSettings.Builder settings =
          TopicAdminSettings.newBuilder().setTransportChannelProvider(SHARED).setCredentialsProvider(NO_CREDENTIALS);
      settings.applyToAllUnaryMethods(Client::once);
      // One call is one request; it is the Publisher that makes batches.
      BatchingSettings unbatched = BatchingSettings.newBuilder().setIsEnabled(false).build();
      settings.getStubSettingsBuilder().publishSettings().setBatchingSettings(unbatched);
      return TopicAdminClient.create(settings.build());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static SubscriptionAdminClient subscriptionCalls() {
    try {
      SubscriptionAdminSettings.Builder settings = SubscriptionAdminSettings.newBuilder()
          .setTransportChannelProvider(SHARED).setCredentialsProvider(NO_CREDENTIALS);
      settings.applyToAllUnaryMethods(Client::once);
      return SubscriptionAdminClient.create(settings.build());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** A refusal is not to hide behind retries. */
  private static Void once(UnaryCallSettings.Builder<?, ?> call) {
    call.setSimpleTimeoutNoRetriesDuration(Stage.PATIENCE);
    return null;
  }

  private Client() {}
}
