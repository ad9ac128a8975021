// SluiceExample publish TOPIC COUNT | subscribe SUBSCRIPTION TOPIC COUNT
import com.google.protobuf.ByteString;
import dev.sluice.v1.*;
import io.grpc.*;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;

public class SluiceExample {
  static <T> StreamObserver<T> observer(CountDownLatch left, Consumer<T> onNext) {
    return new StreamObserver<>() {
      public void onNext(T value) { onNext.accept(value); }
      public void onError(Throwable error) { System.err.println(error); System.exit(1); }
      public void onCompleted() {}
    };
  }
  static void ensure(Runnable create) {
    try {
      create.run();
    } catch (StatusRuntimeException error) {
      if (error.getStatus().getCode() != Status.Code.ALREADY_EXISTS) throw error;
    }
  }
  static StreamObserver<SubscribeRequest> acks;
  public static void main(String[] args) throws Exception {
    var server = System.getenv().getOrDefault("SLUICE_SERVER", "127.0.0.1:8085");
    var channel = ManagedChannelBuilder.forTarget(server).usePlaintext().build();
    var admin = AdminGrpc.newBlockingStub(channel);
    var pubsub = PubSubGrpc.newStub(channel);
    int count = Integer.parseInt(args[args.length - 1]);
    String topic = "projects/examples/topics/" + args[args.length - 2];
    ensure(() -> admin.createTopic(CreateTopicRequest.newBuilder().setTopic(Topic.newBuilder().setName(topic)).build()));
    var left = new CountDownLatch(count);
    if (args[0].equals("publish")) {
      var stream = pubsub.publish(SluiceExample.<PublishResponse>observer(left, response -> response.getResultsList().forEach(result -> {
        System.out.println("published " + result.getFirstMessageId() + " " + result.getError().getMessage());
        left.countDown();
      })));
      for (int i = 0; i < count; i++) {
        stream.onNext(PublishRequest.newBuilder().setTopic(topic).setBatchId(i).addMessages(Message.newBuilder()
            .setData(ByteString.copyFromUtf8("message " + i + " ✓")).putAttributes("language", "java").putAttributes("n", "" + i)).build());
      }
      left.await();
    } else {
      String name = "projects/examples/subscriptions/" + args[1];
      ensure(() -> admin.createSubscription(CreateSubscriptionRequest.newBuilder().setSubscription(Subscription.newBuilder()
          .setName(name).setTopic(topic).setStart(StartPosition.newBuilder().setEarliest(true))).build()));
      acks = pubsub.subscribe(SluiceExample.<SubscribeResponse>observer(left, response -> response.getDeliveriesList().forEach(delivery -> {
        var message = delivery.getMessage();
        System.out.println("received " + message.getAttributesOrThrow("language") + " " + message.getAttributesOrThrow("n") + " " + message.getData().toStringUtf8());
        acks.onNext(SubscribeRequest.newBuilder().addAcks(DeliveryRange.newBuilder().setFirst(delivery.getDeliveryId())).build());
        left.countDown();
      })));
      acks.onNext(SubscribeRequest.newBuilder().setSubscription(name).setCredit(Credit.newBuilder().setMessages(count)).build());
      left.await();
      acks.onCompleted();
    }
    channel.shutdown().awaitTermination(5, java.util.concurrent.TimeUnit.SECONDS);
  }
}
