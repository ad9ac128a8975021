package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2"
	calls "cloud.google.com/go/pubsub/v2/apiv1"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"github.com/googleapis/gax-go/v2/apierror"
)

// What the chapters share: topics and subscriptions with names of their own, the client's generated calls, and what ends
// a chapter that fails.

// For what should come at once; never decides how fast something is.
const patience = 30 * time.Second

var (
	project = "interop"
	ctx     = context.Background()
	client  *pubsub.Client
	// The generated calls check nothing before they send.
	publisher  *calls.TopicAdminClient
	subscriber *calls.SubscriptionAdminClient
	// Keeps them from hiding a refusal behind retries.
	once = []gax.CallOption{
		gax.WithRetry(func() gax.Retryer { return nil }),
		gax.WithTimeout(10 * time.Second),
	}
)

func connect() (err error) {
	// Without it the client would turn to Google.
	if os.Getenv("PUBSUB_EMULATOR_HOST") == "" {
		return errors.New("PUBSUB_EMULATOR_HOST says where the server is")
	}
	if name := os.Getenv("SLUICE_PROJECT"); name != "" {
		project = name
	}
	if client, err = pubsub.NewClient(ctx, project); err == nil {
		publisher, subscriber = client.TopicAdminClient, client.SubscriptionAdminClient
	}
	return err
}

// fail ends the chapter, as t.Fatal ends a test. Only for the goroutine of the chapter itself.
func fail(format string, args ...any) {
	panic(place() + fmt.Sprintf(format, args...))
}

// place is the line of the chapter that is told.
func place() string {
	for skip := 2; ; skip++ {
		_, file, line, ok := runtime.Caller(skip)
		if !ok {
			return ""
		}
		if name := filepath.Base(file); name != "stage.go" && name != "listener.go" {
			return fmt.Sprintf("%s:%d: ", name, line)
		}
	}
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func assert(holds bool, format string, args ...any) {
	if !holds {
		fail(format, args...)
	}
}

func equal(what string, got, want any) {
	assert(reflect.DeepEqual(got, want), "%s: %v instead of %v", what, got, want)
}

func errorOf[T any](_ T, err error) error { return err }

// refusal is the error of a call that must be refused.
func refusal(err error) *apierror.APIError {
	assert(err != nil, "it was accepted")
	refused, ok := apierror.FromError(err)
	assert(ok, "not a refusal of the server: %v", err)
	return refused
}

// eventually waits until done; fails with what it says after that patience.
func eventually(patience time.Duration, what func() string, done func() bool) {
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		assert(time.Now().Before(end), "not within %v: %s", patience, what())
	}
}

func short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func fresh(kind string) string {
	return fmt.Sprintf("projects/%s/%ss/go-%s-%s", project, kind, kind, strings.ToLower(rand.Text()[:12]))
}

func newTopic() string {
	return must(publisher.CreateTopic(ctx, &pb.Topic{Name: fresh("topic")})).Name
}

// newSubscription gives the fields a name of their own and the topic.
func newSubscription(topic string, fields *pb.Subscription) string {
	fields.Name, fields.Topic = fresh("subscription"), topic
	return must(subscriber.CreateSubscription(ctx, fields)).Name
}

// newPair is a new topic with one subscription.
func newPair(fields *pb.Subscription) (topic, subscription string) {
	topic = newTopic()
	return topic, newSubscription(topic, fields)
}

// upTo counts from one number to below another.
func upTo(from, to int) (numbers []int) {
	for i := from; i < to; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

// numbered are messages that say their numbers.
func numbered(from, to int, key string) (messages []*pubsub.Message) {
	for _, i := range upTo(from, to) {
		messages = append(messages, &pubsub.Message{Data: []byte(strconv.Itoa(i)), OrderingKey: key})
	}
	return messages
}

func number(data []byte) int { return must(strconv.Atoi(string(data))) }

func numbersOf(received []*pb.ReceivedMessage) (numbers []int) {
	for _, r := range received {
		numbers = append(numbers, number(r.Message.Data))
	}
	return numbers
}

// publish goes through the client's own batches; the message ids.
func publish(topic string, messages ...*pubsub.Message) (ids []string) {
	batches := client.Publisher(topic)
	defer batches.Stop()
	batches.EnableMessageOrdering = true // Says nothing to a message without a key.
	var results []*pubsub.PublishResult
	for _, message := range messages {
		results = append(results, batches.Publish(ctx, message))
	}
	for _, result := range results {
		ids = append(ids, must(result.Get(ctx)))
	}
	return ids
}

func pullNow(subscription string, most int) []*pb.ReceivedMessage {
	request := &pb.PullRequest{Subscription: subscription, MaxMessages: int32(most), ReturnImmediately: true}
	return must(subscriber.Pull(ctx, request)).ReceivedMessages
}

// pull takes that many messages by unary calls and leaves them unacknowledged.
func pull(subscription string, count int) (received []*pb.ReceivedMessage) {
	what := func() string { return fmt.Sprintf("pulled %d of %d messages", len(received), count) }
	eventually(patience, what, func() bool {
		received = append(received, pullNow(subscription, count-len(received))...)
		return len(received) >= count
	})
	return received
}

// nothingComes fails when a message comes meanwhile.
func nothingComes(subscription string, wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		received := pullNow(subscription, 10)
		assert(len(received) == 0, "%d messages that should be gone", len(received))
	}
}

func sendAck(subscription string, ackIDs ...string) error {
	return subscriber.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: subscription, AckIds: ackIDs}, once...)
}

func ackIDs(received []*pb.ReceivedMessage) (ids []string) {
	for _, r := range received {
		ids = append(ids, r.AckId)
	}
	return ids
}

func acknowledge(subscription string, received ...*pb.ReceivedMessage) {
	if len(received) > 0 {
		check(sendAck(subscription, ackIDs(received)...))
	}
}

// extend sets the deadline of what was pulled; 0 is a nack.
func extend(subscription string, seconds int32, received ...*pb.ReceivedMessage) {
	check(subscriber.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{
		Subscription: subscription, AckIds: ackIDs(received), AckDeadlineSeconds: seconds,
	}, once...))
}
