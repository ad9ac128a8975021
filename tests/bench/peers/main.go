// Load puts on another broker, with that broker's own client, the load that `sluice bench` puts on sluiced, and tells the same
// in the same JSON: one publisher with a number of requests in flight, one durable subscriber that acknowledges everything,
// every message counted.
//
//	load [--duration=3s] [--batch=100] [--size=100] [--inflight=16] [--publish-only] [--atomic] nats|redis HOST:PORT
//
// A message counts as delivered once it is acknowledged too, in the way that is usual for the client. The exit code is 1 when a
// message was lost.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// How long to wait for a delivery before what is missing is lost.
const patience = 15 * time.Second

// peer is a broker with an empty topic and one subscription.
type peer interface {
	// publish sends batches until there are no more, and returns when all are accepted or refused.
	publish(s *source) error
	// subscribe returns at once; what it starts delivers to the tally. Stop returns when what was received is acknowledged.
	subscribe() (stop func(), err error)
}

type settings struct {
	duration              time.Duration
	batch, size, inflight int
	publishOnly, atomic   bool
}

func main() {
	log.SetFlags(0)
	var s settings
	flag.DurationVar(&s.duration, "duration", 3*time.Second, "how long to publish")
	flag.IntVar(&s.batch, "batch", 100, "messages per request")
	flag.IntVar(&s.size, "size", 100, "bytes of payload")
	flag.IntVar(&s.inflight, "inflight", 16, "requests in flight")
	flag.BoolVar(&s.publishOnly, "publish-only", false, "no deliveries")
	flag.BoolVar(&s.atomic, "atomic", false, "NATS: each request is an atomic batch, not a part of a fast-ingest batch")
	flag.Parse()
	open := map[string]func(string, settings, *tally) (peer, error){"nats": openNats, "redis": openRedis}[flag.Arg(0)]
	if open == nil || flag.NArg() != 2 || s.size < stampBytes {
		flag.Usage()
		os.Exit(2)
	}
	// The load shares the cores with the server: memory is cheaper here than collecting it.
	debug.SetGCPercent(800)
	var t tally
	p, err := open(flag.Arg(1), s, &t)
	if err != nil {
		log.Fatal(err)
	}
	out := run(p, s, &t)
	out["api"] = flag.Arg(0)
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		log.Fatal(err)
	}
	if out["lost"] != 0 {
		os.Exit(1)
	}
}

func run(p peer, s settings, t *tally) map[string]any {
	started := now()
	stop := func() {}
	if !s.publishOnly {
		var err error
		if stop, err = p.subscribe(); err != nil {
			log.Fatal(err)
		}
	}
	src := source{messages: s.batch, size: s.size, end: started + int64(s.duration)}
	if err := p.publish(&src); err != nil {
		log.Fatal("publish: ", err)
	}
	publishedUntil := now()
	out := map[string]any{
		"published": t.acceptedCount, "refused": int64(src.next.Load()) - t.acceptedCount,
		"published_per_second": float64(t.acceptedCount) / float64(publishedUntil-started) * 1e9,
		"publish_latency_us":   summary(&t.publishLatency),
		"delivered":            int64(0), "lost": 0, "duplicates": int64(0), "unknown": 0,
	}
	if s.publishOnly {
		return out
	}
	waitForDeliveries(t)
	stop()
	out["delivered"], out["lost"], out["duplicates"], out["unknown"] = t.deliveries(), t.lost(), t.again, t.unknown()
	out["delivered_per_second"] = float64(t.deliveries()) / float64(t.lastDelivery-started) * 1e9
	out["end_to_end_latency_us"] = summary(&t.deliverLatency)
	return out
}

// inFlight sends batches with so many callers of `send` until there are no more or one fails, and returns the first error.
func inFlight(callers int, s *source, send func(batch) error) error {
	failed := make(chan error, callers)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for b, ok := s.batch(); ok; b, ok = s.batch() {
				if err := send(b); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

// waitForDeliveries returns when everything came, or nothing has come for a while.
func waitForDeliveries(t *tally) {
	seen, changed := t.deliveries(), time.Now()
	for t.lost() > 0 && time.Since(changed) < patience {
		if count := t.deliveries(); count != seen {
			seen, changed = count, time.Now()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func summary(h *histogram) map[string]float64 {
	return map[string]float64{"p50": h.microseconds(0.5), "p99": h.microseconds(0.99), "p99.9": h.microseconds(0.999),
		"max": h.microseconds(1)}
}
