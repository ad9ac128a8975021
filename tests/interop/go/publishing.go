package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// What is published comes back as it was, however it was put into requests.

var messageID = regexp.MustCompile(`^[0-9]+$`)

func publishesBatched() {
	topic, subscription := newPair(&pb.Subscription{})
	began := time.Now()
	var messages []*pubsub.Message
	for i := range 2000 {
		attributes := map[string]string{"index": strconv.Itoa(i), "colour": "blue"}
		messages = append(messages, &pubsub.Message{Data: fmt.Appendf(nil, "message %d", i), Attributes: attributes})
	}
	ids := publish(topic, messages...)
	received := listen(subscription, ack, settings{}, func(l *listener) { l.receives(2000) }).received()
	nothingComes(subscription, time.Second)
	equal("messages received", len(received), 2000)
	byID := map[string]*pubsub.Message{}
	for _, message := range received {
		byID[message.ID] = message
	}
	equal("different message ids", len(byID), 2000)
	for i, id := range ids {
		assert(messageID.MatchString(id), "message id %s", id)
		message := byID[id]
		assert(message != nil, "message %d, id %s, did not come", i, id)
		equal("data", string(message.Data), string(messages[i].Data))
		equal("attributes", message.Attributes, messages[i].Attributes)
		assert(message.PublishTime.Sub(began).Abs() < time.Minute, "published at %v", message.PublishTime)
	}
}

func thousandInOneRequest() {
	topic, subscription := newPair(&pb.Subscription{})
	request := &pb.PublishRequest{Topic: topic}
	for i := range 1000 {
		request.Messages = append(request.Messages, &pb.PubsubMessage{Data: []byte(strconv.Itoa(i))})
	}
	ids := must(publisher.Publish(ctx, request)).MessageIds
	equal("message ids", len(ids), 1000)
	received := pull(subscription, 1000)
	byID := map[string]int{}
	for _, r := range received {
		byID[r.Message.MessageId] = number(r.Message.Data)
	}
	equal("different message ids", len(byID), 1000)
	for i, id := range ids {
		equal("message "+id, byID[id], i)
	}
	acknowledge(subscription, received...)
}

func nineMegabyteMessage() {
	topic, subscription := newPair(&pb.Subscription{})
	data := make([]byte, 9_000_000)
	for i := range data {
		data[i] = byte(i % 251)
	}
	publish(topic, &pubsub.Message{Data: data})
	l := listen(subscription, ack, settings{}, func(l *listener) { l.receives(1) })
	assert(bytes.Equal(l.received()[0].Data, data), "other bytes")
}

func filtered() {
	topic, subscription := newPair(&pb.Subscription{Filter: `attributes.color = "red" AND NOT attributes:skip`})
	for _, message := range []pubsub.Message{
		{Data: []byte("no attributes")},
		{Data: []byte("first"), Attributes: map[string]string{"color": "red"}},
		{Data: []byte("skipped"), Attributes: map[string]string{"color": "red", "skip": ""}},
		{Data: []byte("blue"), Attributes: map[string]string{"color": "blue"}},
		{Data: []byte("second"), Attributes: map[string]string{"color": "red", "size": "big"}},
	} {
		publish(topic, &message)
	}
	var got []string
	for _, r := range pull(subscription, 2) {
		got = append(got, string(r.Message.Data))
	}
	slices.Sort(got)
	equal("what the filter lets through", got, []string{"first", "second"})
	nothingComes(subscription, time.Second)
}
