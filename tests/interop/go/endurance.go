package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	calls "cloud.google.com/go/pubsub/v2/apiv1"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
)

// Streams and messages that outlive silence, a crash of the server and their subscriber.

func idleAMinute() {
	topic, subscription := newPair(&pb.Subscription{})
	listen(subscription, ack, settings{}, func(l *listener) {
		time.Sleep(65 * time.Second)
		publish(topic, &pubsub.Message{Data: []byte("after a minute")})
		began := time.Now()
		l.receives(1)
		took := time.Since(began)
		assert(took < time.Second, "came after %v", took)
		// The client gives up a stream whose server does not answer its pings, one in 30 s.
		l.with(func() { assert(len(l.trouble) == 0, "streams ended meanwhile: %v", l.trouble) })
	})
}

func cleanShutdown() {
	topic, subscription := newPair(&pb.Subscription{})
	publish(topic, numbered(0, 50, "")...)
	var mu sync.Mutex
	acked := map[string]bool{}
	half := func(message *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		if len(acked) < 25 {
			acked[message.ID] = true
			message.Ack()
		}
	}
	// What the program holds goes back at once; without this the client waits until the program has settled it.
	nacks := &pubsub.ShutdownOptions{Behavior: pubsub.ShutdownBehaviorNackImmediately, Timeout: patience}
	// It may be sent once more on the stream that is just ending, and comes again after the deadline then.
	first := open(subscription, half, settings{ShutdownOptions: nacks, MaxDurationPerAckExtension: 10 * time.Second})
	first.receives(50)
	// A client that closes like this does not wait for the acknowledgements it has not sent yet.
	eventually(patience, func() string { return "25 acknowledged" }, func() (done bool) {
		first.with(func() { done = first.acked == 25 })
		return done
	})
	began := time.Now()
	first.close()
	assert(time.Since(began) < 10*time.Second, "closed after %v", time.Since(began))

	left := idsOf(first.received())
	maps.DeleteFunc(left, func(id string, _ bool) bool { return acked[id] })
	second := listen(subscription, ack, settings{}, func(l *listener) { l.receives(25) })
	equal("what the first one left", idsOf(second.received()), left)
	nothingComes(subscription, time.Second)
}

func idsOf(messages []*pubsub.Message) map[string]bool {
	ids := map[string]bool{}
	for _, message := range messages {
		ids[message.ID] = true
	}
	return ids
}

// sender publishes one message after the other, each called once, so that the program sees the server go; beside it the
// client's own publisher, which tries again until it is confirmed.
type sender struct {
	topic     string
	batches   *pubsub.Publisher
	patient   []*pubsub.PublishResult
	confirmed []string
}

// patientClient tries a publish again within a second: the pauses of the client as it comes grow fourfold up to a minute,
// far beyond the return of the server.
func patientClient() *pubsub.Client {
	again := gax.WithRetry(func() gax.Retryer {
		return gax.OnCodes([]codes.Code{codes.Unavailable}, gax.Backoff{Max: time.Second})
	})
	return must(pubsub.NewClientWithConfig(ctx, project, &pubsub.ClientConfig{
		TopicAdminCallOptions: &calls.TopicAdminCallOptions{Publish: []gax.CallOption{again}},
	}))
}

// publishUntil tells done whether the last call was answered.
func (s *sender) publishUntil(what string, done func(answered bool) bool) {
	eventually(2*patience, func() string { return what }, func() bool {
		s.patient = append(s.patient, s.batches.Publish(ctx, &pubsub.Message{Data: []byte("patient")}))
		messages := []*pb.PubsubMessage{{Data: []byte("once")}}
		response, err := publisher.Publish(ctx, &pb.PublishRequest{Topic: s.topic, Messages: messages}, once...)
		if err == nil {
			s.confirmed = append(s.confirmed, response.MessageIds...)
		}
		return done(err == nil)
	})
}

func (s *sender) publishHundred(what string) {
	enough := len(s.confirmed) + 100
	s.publishUntil(what, func(bool) bool { return len(s.confirmed) >= enough })
}

func (s *sender) confirmPatient() {
	for _, result := range s.patient {
		s.confirmed = append(s.confirmed, must(result.Get(ctx)))
	}
}

func survivesRestart() {
	topic, subscription := newPair(&pb.Subscription{})
	s := &sender{topic: topic, batches: patientClient().Publisher(topic)}
	defer s.batches.Stop()
	listen(subscription, ack, settings{}, func(l *listener) {
		s.publishHundred("100 messages confirmed")
		l.receives(100)
		fmt.Println("RESTART")
		s.publishUntil("the server goes away", func(answered bool) bool { return !answered })
		s.publishHundred("100 more confirmed by the server that is back")
		s.confirmPatient()
		missing := func() int {
			ids := idsOf(l.received())
			return len(slices.DeleteFunc(slices.Clone(s.confirmed), func(id string) bool { return ids[id] }))
		}
		eventually(2*patience, func() string {
			return fmt.Sprintf("%d of %d confirmed messages received", len(s.confirmed)-missing(), len(s.confirmed))
		}, func() bool { return missing() == 0 })
	})
}
