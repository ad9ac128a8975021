package main

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const natsName = "bench"

// natsPeer is a stream in a file with a durable push consumer, each with a connection of its own. Pull consumers are some 5 %
// slower, and acknowledging each message by itself 20 % (AckAll acknowledges what was before it too).
type natsPeer struct {
	settings
	tally    *tally
	js       jetstream.JetStream
	receiver *nats.Conn
	consumer jetstream.PushConsumer
}

func openNats(address string, s settings, t *tally) (peer, error) {
	p := &natsPeer{settings: s, tally: t}
	sender, err := nats.Connect("nats://" + address)
	if err != nil {
		return nil, err
	}
	if p.receiver, err = nats.Connect("nats://" + address); err != nil {
		return nil, err
	}
	if p.js, err = jetstream.New(sender); err != nil {
		return nil, err
	}
	js, err := jetstream.New(p.receiver)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: natsName, Subjects: []string{natsName},
		Storage: jetstream.FileStorage, AllowAtomicPublish: s.atomic, AllowBatchPublish: !s.atomic}); err != nil {
		return nil, err
	}
	p.consumer, err = js.CreatePushConsumer(ctx, natsName, jetstream.ConsumerConfig{Durable: natsName,
		DeliverSubject: p.receiver.NewInbox(), AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 20_000})
	return p, err
}

const (
	ackEvery   = 500
	ackAtLeast = 5 * time.Millisecond
)

// acker acknowledges many messages with the last of them.
type acker struct {
	tally    *tally
	mu       sync.Mutex
	payloads [][]byte
	last     jetstream.Msg
}

func (a *acker) receive(m jetstream.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.payloads, a.last = append(a.payloads, m.Data()), m
	if len(a.payloads) >= ackEvery {
		a.ackLocked()
	}
}

func (a *acker) ack() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ackLocked()
}

func (a *acker) ackLocked() {
	if len(a.payloads) > 0 && a.last.Ack() == nil {
		a.tally.deliver(a.payloads...)
		a.payloads = a.payloads[:0]
	}
}

func (p *natsPeer) subscribe() (func(), error) {
	a := &acker{tally: p.tally}
	consuming, err := p.consumer.Consume(a.receive)
	if err != nil {
		return nil, err
	}
	ticker, stopped := time.NewTicker(ackAtLeast), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				a.ack()
			case <-stopped:
				return
			}
		}
	}()
	return func() {
		close(stopped)
		consuming.Drain()
		<-consuming.Closed()
		a.ack()
		p.receiver.Flush()
	}, nil
}
