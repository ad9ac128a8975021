package main

import (
	"context"
	"errors"
	"log"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const redisName = "bench"

// Consumers of the one group. The second makes use of the time in which the first is busy with what it got (6 % more).
var redisConsumers = []string{"one", "two"}

// redisPeer is a stream with one consumer group, over a pool of connections.
type redisPeer struct {
	settings
	tally  *tally
	client *redis.Client
}

func openRedis(address string, s settings, t *tally) (peer, error) {
	client := redis.NewClient(&redis.Options{Addr: address, PoolSize: s.inflight + len(redisConsumers), Protocol: 2})
	return &redisPeer{s, t, client}, client.XGroupCreateMkStream(context.Background(), redisName, redisName, "0").Err()
}

func (p *redisPeer) publish(s *source) error { return inFlight(p.inflight, s, p.publishBatch) }

func (p *redisPeer) publishBatch(b batch) error {
	ctx := context.Background()
	pipe := p.client.Pipeline()
	for _, payload := range b.payloads {
		// As XAdd, without a list made of values first.
		pipe.Process(ctx, redis.NewStringCmd(ctx, "XADD", redisName, "*", "d", payload))
	}
	_, err := pipe.Exec(ctx)
	if err == nil {
		p.tally.accept(b)
	}
	return err
}

func (p *redisPeer) subscribe() (func(), error) {
	stopped, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, consumer := range redisConsumers {
		all.Go(func() { p.receive(stopped, consumer) })
	}
	return func() {
		stop()
		all.Wait()
	}, nil
}

// receive acknowledges what came with one request together with the next request.
func (p *redisPeer) receive(stopped context.Context, consumer string) {
	ctx := context.Background()
	var ids []string
	var payloads [][]byte
	for stopped.Err() == nil || len(ids) > 0 {
		pipe := p.client.Pipeline()
		if len(ids) > 0 {
			pipe.XAck(ctx, redisName, redisName, ids...)
		}
		got := pipe.XReadGroup(ctx, &redis.XReadGroupArgs{Group: redisName, Consumer: consumer, Streams: []string{redisName, ">"},
			Count: 1000, Block: 5 * time.Millisecond})
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			log.Fatal("receive: ", err)
		}
		p.tally.deliver(payloads...)
		ids, payloads = ids[:0], payloads[:0]
		for _, stream := range got.Val() {
			for _, message := range stream.Messages {
				ids = append(ids, message.ID)
				payloads = append(payloads, []byte(message.Values["d"].(string)))
			}
		}
	}
}
