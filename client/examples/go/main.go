// sluice_example publish TOPIC COUNT | subscribe SUBSCRIPTION TOPIC COUNT
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	pb "sluice.dev/example/gen"
)

func must[T any](value T, err error) T {
	if err != nil && status.Code(err) != codes.AlreadyExists {
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx, plain := context.Background(), grpc.WithTransportCredentials(insecure.NewCredentials())
	conn := must(grpc.NewClient(cmp.Or(os.Getenv("SLUICE_SERVER"), "127.0.0.1:8085"), plain))
	admin, pubsub, last := pb.NewAdminClient(conn), pb.NewPubSubClient(conn), len(os.Args)-1
	topic, count := "projects/examples/topics/"+os.Args[last-1], must(strconv.Atoi(os.Args[last]))
	must(admin.CreateTopic(ctx, &pb.CreateTopicRequest{Topic: &pb.Topic{Name: topic}}))
	if os.Args[1] == "publish" {
		var messages []*pb.Message
		for i := 0; i < count; i++ {
			attributes := map[string]string{"language": "go", "n": strconv.Itoa(i)}
			messages = append(messages, &pb.Message{Data: fmt.Appendf(nil, "message %d ✓", i), Attributes: attributes})
		}
		stream := must(pubsub.Publish(ctx))
		stream.Send(&pb.PublishRequest{Topic: topic, BatchId: 1, Messages: messages})
		result := must(stream.Recv()).Results[0]
		fmt.Println("published", result.FirstMessageId, result.Count, result.Error.GetMessage())
		return
	}
	name, start := "projects/examples/subscriptions/"+os.Args[2], &pb.StartPosition_Earliest{Earliest: true}
	subscription := &pb.Subscription{Name: name, Topic: topic, Start: &pb.StartPosition{Position: start}}
	must(admin.CreateSubscription(ctx, &pb.CreateSubscriptionRequest{Subscription: subscription}))
	stream := must(pubsub.Subscribe(ctx))
	target, credit := &pb.SubscribeRequest_Subscription{Subscription: name}, &pb.Credit{Messages: int64(count)}
	stream.Send(&pb.SubscribeRequest{Target: target, Credit: credit})
	for count > 0 {
		for _, delivery := range must(stream.Recv()).Deliveries {
			message := delivery.Message
			fmt.Println("received", message.Attributes["language"], message.Attributes["n"], string(message.Data))
			stream.Send(&pb.SubscribeRequest{Acks: []*pb.DeliveryRange{{First: delivery.DeliveryId}}})
			count--
		}
	}
	stream.CloseSend()
	stream.Recv()
}
