package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const natsPatience = 30 * time.Second

// publish takes the fastest way there is: without syncs that is the fast ingest of nats-server 2.14 (half as much again as
// PublishAsync), with a sync before every answer it is an atomic batch, which is synced once (six times PublishAsync).
func (p *natsPeer) publish(s *source) error {
	if p.atomic {
		return inFlight(p.inflight, s, p.publishAtomic)
	}
	return p.publishFast(s)
}

func (p *natsPeer) publishFast(s *source) error {
	publisher, err := jetstreamext.NewFastPublisher(p.js, jetstreamext.FastPublishFlowControl{Flow: uint16(p.batch),
		MaxOutstandingAcks: uint16(p.inflight), AckTimeout: natsPatience})
	if err != nil {
		return err
	}
	var sent []batch
	accept := func(count uint64) {
		for len(sent) > 0 && sent[0].first+uint64(p.batch) <= count {
			p.tally.accept(sent[0])
			sent = sent[1:]
		}
	}
	for b, ok := s.batch(); ok; b, ok = s.batch() {
		sent = append(sent, b)
		for _, payload := range b.payloads {
			ack, err := publisher.Add(natsName, payload)
			if err != nil {
				return err
			}
			accept(ack.AckSequence)
		}
	}
	ack, err := publisher.Close(context.Background())
	if err != nil {
		return err
	}
	accept(ack.BatchSize)
	return nil
}

func (p *natsPeer) publishAtomic(b batch) error {
	messages := make([]*nats.Msg, len(b.payloads))
	for i, payload := range b.payloads {
		messages[i] = &nats.Msg{Subject: natsName, Data: payload, Header: nats.Header{}}
	}
	_, err := jetstreamext.PublishMsgBatch(context.Background(), p.js, messages,
		jetstreamext.BatchFlowControl{AckFirst: false, AckTimeout: natsPatience})
	if err == nil {
		p.tally.accept(b)
	}
	return err
}
