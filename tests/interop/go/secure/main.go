// Secure is the official Go client with TLS and a token: it publishes to a topic of its own and receives that.
//
//	SLUICE_SERVER=localhost:8085 SLUICE_CA=ca.crt SLUICE_TOKEN=sluice_... secure
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/oauth2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/oauth"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func connect() (*grpc.ClientConn, error) {
	authority, err := credentials.NewClientTLSFromFile(os.Getenv("SLUICE_CA"), "")
	if err != nil {
		return nil, err
	}
	token := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: os.Getenv("SLUICE_TOKEN")})
	return grpc.NewClient(os.Getenv("SLUICE_SERVER"), grpc.WithTransportCredentials(authority),
		grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: token}))
}

func run(ctx context.Context) error {
	connection, err := connect()
	if err != nil {
		return err
	}
	client, err := pubsub.NewClient(ctx, "team-a", option.WithGRPCConn(connection))
	if err != nil {
		return err
	}
	defer client.Close()
	const topic, subscription = "projects/team-a/topics/secure-go", "projects/team-a/subscriptions/secure-go"
	if _, err := client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topic}); err != nil {
		return err
	}
	if _, err := client.SubscriptionAdminClient.CreateSubscription(ctx,
		&pubsubpb.Subscription{Name: subscription, Topic: topic}); err != nil {
		return err
	}
	if _, err := client.Publisher(topic).Publish(ctx, &pubsub.Message{Data: []byte("hello")}).Get(ctx); err != nil {
		return err
	}
	receive, done := context.WithCancel(ctx)
	var received string
	err = client.Subscriber(subscription).Receive(receive, func(_ context.Context, message *pubsub.Message) {
		received = string(message.Data)
		message.Ack()
		done()
	})
	if err == nil && received != "hello" {
		err = fmt.Errorf("received %q", received)
	}
	return err
}
