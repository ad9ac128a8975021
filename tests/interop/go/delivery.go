package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
)

// What becomes of a message that is acknowledged, refused, held or left alone.

func ordered() {
	topic, subscription := newPair(&pb.Subscription{EnableMessageOrdering: true})
	var keys []string
	var messages []*pubsub.Message
	for k := range 10 {
		keys = append(keys, fmt.Sprintf("key-%d", k))
		messages = append(messages, numbered(0, 50, keys[k])...)
	}
	publish(topic, messages...)
	var refused atomic.Bool
	handle := func(message *pubsub.Message) {
		if message.OrderingKey == "key-3" && string(message.Data) == "20" && refused.CompareAndSwap(false, true) {
			message.Nack()
		} else {
			message.Ack()
		}
	}
	listen(subscription, handle, settings{}, func(l *listener) {
		what := func() string {
			return fmt.Sprintf("all of %d messages, 20 of key-3 twice: %v", len(l.received()), ofKey(l, "key-3"))
		}
		eventually(patience, what, func() bool {
			whole := !slices.ContainsFunc(keys, func(key string) bool { return !containsAll(ofKey(l, key), 50) })
			first, again := turns(ofKey(l, "key-3"))
			return whole && first < again
		})
		for _, key := range keys {
			if key != "key-3" {
				equal(key, ofKey(l, key), upTo(0, 50))
			}
		}
		// What was on its way when 20 was refused may still come: in order up to its return, and in order from there on.
		numbers := ofKey(l, "key-3")
		_, again := turns(numbers)
		assert(rises(numbers[:again]) && rises(numbers[again:]), "key-3: %v", numbers)
	})
	refusedTakesItsSuccessorsAlong()
}

func ofKey(l *listener, key string) (numbers []int) {
	for _, message := range l.received() {
		if message.OrderingKey == key {
			numbers = append(numbers, number(message.Data))
		}
	}
	return numbers
}

func containsAll(numbers []int, count int) bool {
	return !slices.ContainsFunc(upTo(0, count), func(n int) bool { return !slices.Contains(numbers, n) })
}

func rises(numbers []int) bool {
	return slices.IsSorted(numbers) && len(slices.Compact(slices.Clone(numbers))) == len(numbers)
}

// turns is where 20 came first and last.
func turns(numbers []int) (first, again int) {
	first, again = slices.Index(numbers, 20), len(numbers)-1
	for again >= 0 && numbers[again] != 20 {
		again--
	}
	return first, again
}

func refusedTakesItsSuccessorsAlong() {
	topic, subscription := newPair(&pb.Subscription{EnableMessageOrdering: true})
	publish(topic, numbered(0, 10, "key")...)
	request := &pb.PullRequest{Subscription: subscription, MaxMessages: 10}
	first := must(subscriber.Pull(ctx, request)).ReceivedMessages
	assert(len(first) > 0, "a pull that waits got nothing")
	middle := len(first) / 2
	acknowledge(subscription, first[:middle]...)
	extend(subscription, 0, first[middle])
	var seen []int
	for len(seen) < 10-middle {
		received := pull(subscription, 1)
		seen = append(seen, numbersOf(received)...)
		acknowledge(subscription, received...)
	}
	equal(fmt.Sprintf("after %d of %d pulled was refused", middle, len(first)), seen, upTo(middle, 10))
}

func ackAndNack() {
	topic, subscription := newPair(&pb.Subscription{})
	publish(topic, numbered(0, 100, "")...)
	var seen sync.Map
	handle := func(message *pubsub.Message) {
		if _, again := seen.LoadOrStore(message.ID, true); again {
			message.Ack()
		} else {
			message.Nack()
		}
	}
	l := listen(subscription, handle, settings{}, func(l *listener) { l.receives(200) })
	nothingComes(subscription, 12*time.Second) // Longer than the deadline of a lease that was not settled.
	equal("messages received", len(l.received()), 200)
	times := map[string]int{}
	for _, message := range l.received() {
		times[message.ID]++
	}
	equal("different messages", len(times), 100)
}

func exactlyOnce() {
	topic, subscription := newPair(&pb.Subscription{EnableExactlyOnceDelivery: true})
	hold := func(*pubsub.Message) {}
	listen(subscription, hold, settings{}, func(l *listener) {
		publish(topic, numbered(0, 100, "")...)
		l.receives(100)
		var answers []*pubsub.AckResult
		for _, message := range l.received() {
			answers = append(answers, message.AckWithResult())
		}
		for _, answer := range answers {
			must(answer.Get(ctx))
		}
		// Of one that was acknowledged beside it, alone in its request: the client fails all of a request with one bad id.
		publish(topic, numbered(100, 101, "")...)
		l.receives(101)
		taken := l.received()[100]
		check(sendAck(subscription, l.ackID(taken)))
		status, err := taken.AckWithResult().Get(ctx)
		assert(status == pubsub.AcknowledgeStatusInvalidAckID, "status %d, error %v", status, err)
		l.with(func() { assert(l.exactlyOnce, "the stream does not say exactly once") })
	})
	exactlyOnceRefusals(topic, subscription)
}

func exactlyOnceRefusals(topic, subscription string) {
	refuses := func(bad string, ids ...string) {
		refused := refusal(sendAck(subscription, ids...))
		told := refused.GRPCStatus()
		equal("code", told.Code(), codes.InvalidArgument)
		const text = "Some acknowledgement ids in the request were invalid. This could be because the "
		assert(strings.HasPrefix(told.Message(), text), "text: %q", told.Message())
		equal("reason", refused.Reason(), "EXACTLY_ONCE_ACKID_FAILURE")
		equal("domain", refused.Domain(), "pubsub.googleapis.com")
		equal("metadata", refused.Metadata(), map[string]string{bad: "PERMANENT_FAILURE_INVALID_ACK_ID"})
	}
	publish(topic, numbered(0, 2, "")...)
	pair := pull(subscription, 2)
	settled, good := pair[0], pair[1]
	acknowledge(subscription, settled)
	refuses(settled.AckId, settled.AckId, good.AckId)
	refuses(good.AckId, good.AckId) // It was applied.

	publish(topic, numbered(0, 1, "")...)
	expired := pull(subscription, 1)[0]
	extend(subscription, 1, expired)
	current := pull(subscription, 1)
	refuses(expired.AckId, expired.AckId)
	acknowledge(subscription, current...)
}

func deadLetters() {
	deadLetterTopic, graveyard := newPair(&pb.Subscription{})
	policy := &pb.DeadLetterPolicy{DeadLetterTopic: deadLetterTopic, MaxDeliveryAttempts: 5}
	topic, subscription := newPair(&pb.Subscription{DeadLetterPolicy: policy})
	publish(topic, &pubsub.Message{Data: []byte("poison"), Attributes: map[string]string{"colour": "green"}})
	var dead *pb.PubsubMessage
	nack := func(message *pubsub.Message) { message.Nack() }
	received := listen(subscription, nack, settings{}, func(*listener) {
		dead = pull(graveyard, 1)[0].Message
	}).received()
	nothingComes(subscription, time.Second)
	var attempts []int
	for _, message := range received {
		assert(message.DeliveryAttempt != nil, "a message without its delivery attempt")
		attempts = append(attempts, *message.DeliveryAttempt)
	}
	equal("delivery attempts", attempts, []int{1, 2, 3, 4, 5})
	equal("data", string(dead.Data), "poison")
	const prefix = "CloudPubSubDeadLetterSource"
	for key, value := range map[string]string{
		"colour":                       "green",
		prefix + "DeliveryCount":       "5",
		prefix + "Subscription":        short(subscription),
		prefix + "SubscriptionProject": project,
	} {
		equal(key, dead.Attributes[key], value)
	}
	published := must(time.Parse(time.RFC3339Nano, dead.Attributes[prefix+"TopicPublishTime"]))
	assert(published.Sub(received[0].PublishTime).Abs() < time.Second, "TopicPublishTime %v", published)
}

func flowControl() {
	topic := newTopic()
	subscription, held := newSubscription(topic, &pb.Subscription{}), newSubscription(topic, &pb.Subscription{})
	publish(topic, numbered(0, 100, "")...)
	var mu sync.Mutex
	now, most := 0, 0
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		now += by
		most = max(most, now)
	}
	handle := func(message *pubsub.Message) {
		count(1)
		time.Sleep(20 * time.Millisecond)
		count(-1)
		message.Ack()
	}
	l := listen(subscription, handle, settings{MaxOutstandingMessages: 10}, func(l *listener) { l.receives(100) })
	assert(most <= 10, "%d at once", most)
	equal("messages received", len(l.received()), 100)
	serverHoldsBack(held)
}

// serverHoldsBack is the server's part of it: a stream that says 10 gets 10, and more only for what is acknowledged, here
// by unary calls.
func serverHoldsBack(subscription string) {
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := must(subscriber.StreamingPull(until))
	check(stream.Send(&pb.StreamingPullRequest{
		Subscription: subscription, StreamAckDeadlineSeconds: 60, MaxOutstandingMessages: 10,
	}))
	var mu sync.Mutex
	var all []*pb.ReceivedMessage
	go func() {
		for response, err := stream.Recv(); err == nil; response, err = stream.Recv() {
			mu.Lock()
			all = append(all, response.ReceivedMessages...)
			mu.Unlock()
		}
	}()
	received := func() []*pb.ReceivedMessage {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
	gets := func(count int) {
		what := func() string { return fmt.Sprintf("%d messages on the stream, not %d", count, len(received())) }
		eventually(patience, what, func() bool { return len(received()) >= count })
		time.Sleep(time.Second)
		equal("messages on a stream of max_outstanding_messages 10", len(received()), count)
	}
	gets(10)
	acknowledge(subscription, received()[:4]...)
	gets(14)
}

func unaryPull() {
	topic, subscription := newPair(&pb.Subscription{})
	began := time.Now()
	empty := pullNow(subscription, 1)
	assert(len(empty) == 0 && time.Since(began) < 5*time.Second, "%d messages after %v", len(empty), time.Since(began))
	waitingPull(topic, subscription)

	publish(topic, numbered(1, 4, "")...)
	received := pull(subscription, 3)
	numbers := numbersOf(received)
	slices.Sort(numbers)
	equal("messages", numbers, upTo(1, 4))
	refused, long, done := received[0], received[1], received[2]
	extend(subscription, 0, refused)
	extend(subscription, 60, long)
	acknowledge(subscription, done)
	again := pull(subscription, 1)
	equal("what comes again", again[0].Message.MessageId, refused.Message.MessageId)
	acknowledge(subscription, again...)
	nothingComes(subscription, 12*time.Second) // Longer than the deadline that was extended.
	acknowledge(subscription, long)
}

// waitingPull gets what is published while it waits.
func waitingPull(topic, subscription string) {
	var response *pb.PullResponse
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		response, err = subscriber.Pull(ctx, &pb.PullRequest{Subscription: subscription, MaxMessages: 1})
	}()
	publish(topic, numbered(0, 1, "")...)
	<-done
	check(err)
	equal("messages of a pull that waits", numbersOf(response.ReceivedMessages), []int{0})
	acknowledge(subscription, response.ReceivedMessages...)
}
