// A subscriber that keeps what it received, on a connection of its own that is watched: the client tells neither why its
// streams end nor the ack ids.
import com.google.cloud.pubsub.v1.MessageReceiver;
import com.google.cloud.pubsub.v1.MessageReceiverWithAckResponse;
import com.google.cloud.pubsub.v1.Subscriber;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.ReceivedMessage;
import com.google.pubsub.v1.StreamingPullResponse;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.UnaryOperator;

final class Listener implements AutoCloseable {
  final List<PubsubMessage> received = new CopyOnWriteArrayList<>();
  /** What came on the streams, empty answers included. */
  final List<StreamingPullResponse> responses = new CopyOnWriteArrayList<>();
  /** Why streams of it ended. */
  final List<String> ended = new CopyOnWriteArrayList<>();
  private final ManagedChannel channel = Client.channel(new Watch());
  private Subscriber subscriber;

  static Listener open(String subscription, MessageReceiver handle) {
    return open(subscription, handle, options -> options);
  }

  static Listener open(String subscription, MessageReceiver handle, UnaryOperator<Subscriber.Builder> options) {
    Listener listener = new Listener();
    MessageReceiver keep = (message, reply) -> {
      listener.received.add(message);
      handle.receiveMessage(message, reply);
    };
    return listener.start(options.apply(Subscriber.newBuilder(subscription, keep)));
  }

  /** One whose acknowledgements are confirmed. */
  static Listener openConfirming(String subscription, MessageReceiverWithAckResponse handle) {
    Listener listener = new Listener();
    MessageReceiverWithAckResponse keep = (message, reply) -> {
      listener.received.add(message);
      handle.receiveMessage(message, reply);
    };
    return listener.start(Subscriber.newBuilder(subscription, keep));
  }

  private Listener() {}

  private Listener start(Subscriber.Builder builder) {
    subscriber = builder
        .setChannelProvider(Client.provider(channel)).setCredentialsProvider(Client.NO_CREDENTIALS).build();
    subscriber.startAsync().awaitRunning();
    return this;
  }

  void receives(int count) throws Exception {
    Stage.eventually(
        () -> "received %d of %d messages %s".formatted(received.size(), count, ended.isEmpty() ? "" : ended),
        () -> received.size() >= count);
  }

  /** A message as it came, with its ack id. */
  ReceivedMessage onTheWire(PubsubMessage message) {
    return responses.stream()
        .flatMap(response -> response.getReceivedMessagesList().stream())
        .filter(received -> received.getMessage().getMessageId().equals(message.getMessageId()))
        .findFirst().orElseThrow();
  }

  @Override
  public void close() throws TimeoutException {
    subscriber.stopAsync().awaitTerminated(Stage.PATIENCE.toSeconds(), TimeUnit.SECONDS);
    channel.shutdown();
  }

  private final class Watch implements ClientInterceptor {
    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
      ClientCall<Q, R> call = next.newCall(method, options);
      if (!"StreamingPull".equals(method.getBareMethodName())) return call;
      return new SimpleForwardingClientCall<>(call) {
        @Override
        public void start(ClientCall.Listener<R> listener, Metadata headers) {
          super.start(watched(listener), headers);
        }
      };
    }

    private <R> ClientCall.Listener<R> watched(ClientCall.Listener<R> listener) {
      return new SimpleForwardingClientCallListener<>(listener) {
        @Override
        public void onMessage(R message) {
          responses.add((StreamingPullResponse) message);
          super.onMessage(message);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
          ended.add(status.getCode() + ": " + status.getDescription());
          super.onClose(status, trailers);
        }
      };
    }
  }
}
