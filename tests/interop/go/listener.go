package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
)

// A listener receives with a client of its own, gives each message to a handler and keeps what came. It watches the
// client's calls too, for what the client itself does not tell.
type listener struct {
	client *pubsub.Client
	stop   context.CancelFunc
	ended  chan error

	mu          sync.Mutex
	messages    []*pubsub.Message
	trouble     []string          // Why streams of it ended.
	ackIDs      map[string]string // By message id.
	acked       int               // How many ids the server has acknowledged.
	exactlyOnce bool              // What the stream says of the subscription.
}

type settings = pubsub.ReceiveSettings

func open(subscription string, handle func(*pubsub.Message), chosen settings) *listener {
	l := &listener{ended: make(chan error, 1), ackIDs: map[string]string{}}
	l.client = must(pubsub.NewClient(ctx, project,
		option.WithGRPCDialOption(grpc.WithChainStreamInterceptor(l.watchStream)),
		option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(l.watchCall))))
	var until context.Context
	until, l.stop = context.WithCancel(ctx)
	receiver := l.client.Subscriber(subscription)
	receiver.ReceiveSettings = chosen
	go func() {
		l.ended <- receiver.Receive(until, func(_ context.Context, message *pubsub.Message) {
			l.with(func() { l.messages = append(l.messages, message) })
			handle(message)
		})
	}()
	return l
}

// close waits until Receive has ended: by then all that was acknowledged has been sent.
func (l *listener) close() {
	l.stop()
	select {
	case err := <-l.ended:
		check(err)
	case <-time.After(patience):
		fail("Receive does not end")
	}
	check(l.client.Close())
}

// listen runs body while a listener is open.
func listen(subscription string, handle func(*pubsub.Message), chosen settings, body func(*listener)) *listener {
	l := open(subscription, handle, chosen)
	defer l.stop() // Where body fails, nobody settles what close would wait for.
	body(l)
	l.close()
	return l
}

func ack(message *pubsub.Message) { message.Ack() }

func (l *listener) with(action func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	action()
}

func (l *listener) received() []*pubsub.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.messages)
}

func (l *listener) ackID(message *pubsub.Message) (id string) {
	l.with(func() { id = l.ackIDs[message.ID] })
	return id
}

func (l *listener) receives(count int) {
	eventually(patience, func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Sprintf("received %d of %d messages %s", len(l.messages), count, strings.Join(l.trouble, ", "))
	}, func() bool { return len(l.received()) >= count })
}

func (l *listener) watchCall(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	err := invoke(ctx, method, request, reply, connection, options...)
	if acks, ok := request.(*pb.AcknowledgeRequest); ok && err == nil {
		l.with(func() { l.acked += len(acks.AckIds) })
	}
	return err
}

func (l *listener) watchStream(ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn,
	method string, streamer grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, description, connection, method, options...)
	return watchedStream{stream, l}, err
}

type watchedStream struct {
	grpc.ClientStream
	listener *listener
}

func (s watchedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	s.listener.with(func() {
		if err != nil {
			s.listener.trouble = append(s.listener.trouble, err.Error())
			return
		}
		response := message.(*pb.StreamingPullResponse)
		s.listener.exactlyOnce = response.SubscriptionProperties.GetExactlyOnceDeliveryEnabled()
		for _, received := range response.ReceivedMessages {
			s.listener.ackIDs[received.Message.MessageId] = received.AckId
		}
	})
	return err
}
