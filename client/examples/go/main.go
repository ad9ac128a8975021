// sluice_example publish TOPIC COUNT | subscribe SUBSCRIPTION TOPIC COUNT
package main

import (
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

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil && status.Code(err) != codes.AlreadyExists {
		log.Fatal(err)
	}
	return value
}

func main() {
	server := os.Getenv("SLUICE_SERVER")
	conn := must(grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials())))
	admin, pubsub, last := pb.NewAdminClient(conn), pb.NewPubSubClient(conn), len(os.Args)-1
	topic, count := "projects/examples/topics/"+os.Args[last-1], must(strconv.Atoi(os.Args[last]))
	must(admin.CreateTopic(ctx, &pb.CreateTopicRequest{Topic: &pb.Topic{Name: topic}}))
	if os.Args[1] == "publish" {
		stream := must(pubsub.Publish(ctx))
		for i := 0; i < count; i++ {
			message := &pb.Message{Data: []byte(fmt.Sprintf("message %d ✓", i)),
				Attributes: map[string]string{"language": "go", "n": strconv.Itoa(i)}}
			stream.Send(&pb.PublishRequest{Topic: topic, BatchId: uint64(i), Messages: []*pb.Message{message}})
		}
		for answered := 0; answered < count; {
			for _, result := range must(stream.Recv()).Results {
				fmt.Println("published", result.FirstMessageId, result.Error.GetMessage())
				answered++
			}
		}
		return
	}
	name := "projects/examples/subscriptions/" + os.Args[2]
	earliest := &pb.StartPosition{Position: &pb.StartPosition_Earliest{Earliest: true}}
	must(admin.CreateSubscription(ctx, &pb.CreateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: name, Topic: topic, Start: earliest}}))
	stream := must(pubsub.Subscribe(ctx))
	stream.Send(&pb.SubscribeRequest{Target: &pb.SubscribeRequest_Subscription{Subscription: name},
		Credit: &pb.Credit{Messages: int64(count)}})
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
