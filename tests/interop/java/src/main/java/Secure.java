// The official Java client with TLS and a token: publishes to a topic of its own and receives that.
//
//   SLUICE_SERVER=localhost:8085 SLUICE_CA=ca.crt SLUICE_TOKEN=sluice_... java Secure
import com.google.api.gax.core.CredentialsProvider;
import com.google.api.gax.core.NoCredentialsProvider;
import com.google.api.gax.grpc.GrpcTransportChannel;
import com.google.api.gax.rpc.FixedTransportChannelProvider;
import com.google.api.gax.rpc.TransportChannelProvider;
import com.google.cloud.pubsub.v1.MessageReceiver;
import com.google.cloud.pubsub.v1.Publisher;
import com.google.cloud.pubsub.v1.Subscriber;
import com.google.cloud.pubsub.v1.SubscriptionAdminClient;
import com.google.cloud.pubsub.v1.SubscriptionAdminSettings;
import com.google.cloud.pubsub.v1.TopicAdminClient;
import com.google.cloud.pubsub.v1.TopicAdminSettings;
import com.google.protobuf.ByteString;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.Subscription;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;

final class Secure {
  private static final String TOPIC = "projects/team-a/topics/secure-java";
  private static final String SUBSCRIPTION = "projects/team-a/subscriptions/secure-java";
  // The channel has the token.
  private static final CredentialsProvider NO_CREDENTIALS = NoCredentialsProvider.create();

  private static ManagedChannel channel() throws Exception {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + System.getenv("SLUICE_TOKEN"));
    return Grpc.newChannelBuilder(System.getenv("SLUICE_SERVER"),
            TlsChannelCredentials.newBuilder().trustManager(new File(System.getenv("SLUICE_CA"))).build())
        .intercept(MetadataUtils.newAttachHeadersInterceptor(headers))
        .build();
  }

  private static void make(TransportChannelProvider channel) throws Exception {
    try (TopicAdminClient topics = TopicAdminClient.create(TopicAdminSettings.newBuilder()
            .setTransportChannelProvider(channel).setCredentialsProvider(NO_CREDENTIALS).build());
        SubscriptionAdminClient subscriptions = SubscriptionAdminClient.create(SubscriptionAdminSettings.newBuilder()
            .setTransportChannelProvider(channel).setCredentialsProvider(NO_CREDENTIALS).build())) {
      topics.createTopic(TOPIC);
      subscriptions.createSubscription(Subscription.newBuilder().setName(SUBSCRIPTION).setTopic(TOPIC).build());
    }
  }

  public static void main(String[] arguments) throws Exception {
    ManagedChannel connection = channel();
    TransportChannelProvider channel = FixedTransportChannelProvider.create(GrpcTransportChannel.create(connection));
    make(channel);
    Publisher publisher = Publisher.newBuilder(TOPIC).setChannelProvider(channel).setCredentialsProvider(NO_CREDENTIALS).build();
    publisher.publish(PubsubMessage.newBuilder().setData(ByteString.copyFromUtf8("hello")).build()).get();
    BlockingQueue<String> received = new ArrayBlockingQueue<>(1);
    MessageReceiver receiver = (message, reply) -> {
      received.offer(message.getData().toStringUtf8());
      reply.ack();
    };
    Subscriber subscriber =
        Subscriber.newBuilder(SUBSCRIPTION, receiver).setChannelProvider(channel).setCredentialsProvider(NO_CREDENTIALS).build();
    subscriber.startAsync().awaitRunning();
    if (!"hello".equals(received.poll(30, TimeUnit.SECONDS))) throw new IllegalStateException("it was not received");
    subscriber.stopAsync().awaitTerminated();
    publisher.shutdown();
    connection.shutdownNow();
  }
}
