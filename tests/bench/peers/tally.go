package main

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

var began = time.Now()

// now is in nanoseconds, and never goes back.
func now() int64 { return int64(time.Since(began)) }

// batch is messages [first, first+len(payloads)), sent with one request.
type batch struct {
	first    uint64
	payloads [][]byte
	// When it was meant to be sent, see now.
	intended int64
}

// The front of every payload: the number of its message, and when it was meant to be sent.
const stampBytes = 16

// source makes batches until the time is over. It may be used from any goroutine.
type source struct {
	messages, size int
	end            int64
	next           atomic.Uint64
}

func (s *source) batch() (b batch, ok bool) {
	if b.intended = now(); b.intended >= s.end {
		return b, false
	}
	b.first = s.next.Add(uint64(s.messages)) - uint64(s.messages)
	b.payloads = make([][]byte, s.messages)
	room := make([]byte, s.messages*s.size)
	for i := range b.payloads {
		payload := room[i*s.size : (i+1)*s.size : (i+1)*s.size]
		binary.LittleEndian.PutUint64(payload, b.first+uint64(i))
		binary.LittleEndian.PutUint64(payload[8:], uint64(b.intended))
		b.payloads[i] = payload
	}
	return b, true
}

// tally counts what was accepted and what was delivered, message by message. It may be used from any goroutine.
type tally struct {
	mu                             sync.Mutex
	accepted, delivered            []uint64 // bit sets
	acceptedCount, unique, again   int64
	publishLatency, deliverLatency histogram
	lastDelivery                   int64
}

// add says whether the number was not in the set.
func add(set *[]uint64, number uint64) bool {
	for uint64(len(*set)) <= number/64 {
		*set = append(*set, make([]uint64, len(*set)+1024)...)
	}
	word, bit := &(*set)[number/64], uint64(1)<<(number%64)
	fresh := *word&bit == 0
	*word |= bit
	return fresh
}

func (t *tally) accept(b batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range b.payloads {
		if add(&t.accepted, b.first+uint64(i)) {
			t.acceptedCount++
		}
	}
	t.publishLatency.add(now() - b.intended)
}

func (t *tally) deliver(payloads ...[]byte) {
	if len(payloads) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastDelivery = now()
	for _, payload := range payloads {
		if add(&t.delivered, binary.LittleEndian.Uint64(payload)) {
			t.unique++
		} else {
			t.again++
		}
		t.deliverLatency.add(t.lastDelivery - int64(binary.LittleEndian.Uint64(payload[8:])))
	}
}

// lost is how many were accepted and not delivered, or not yet.
func (t *tally) lost() (lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.acceptedCount <= t.unique {
		return 0
	}
	for i, word := range t.accepted {
		if i < len(t.delivered) {
			word &^= t.delivered[i]
		}
		lost += bits.OnesCount64(word)
	}
	return lost
}

// unknown is how many were delivered that were never accepted.
func (t *tally) unknown() (unknown int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, word := range t.delivered {
		if i < len(t.accepted) {
			word &^= t.accepted[i]
		}
		unknown += bits.OnesCount64(word)
	}
	return unknown
}

func (t *tally) deliveries() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unique + t.again
}

// histogram counts nanoseconds in buckets of 1/64 of an octave's width.
type histogram struct {
	buckets [64 * 64]int64
	total   int64
}

func (h *histogram) add(nanos int64) {
	value := uint64(max(nanos, 64))
	octave := bits.Len64(value) - 7
	h.buckets[octave*64+int(value>>octave)-64]++
	h.total++
}

// microseconds is the upper bound of the bucket in which the quantile lies; 0 when there is nothing.
func (h *histogram) microseconds(quantile float64) float64 {
	var seen int64
	for i, count := range h.buckets {
		if seen += count; seen > 0 && float64(seen) >= quantile*float64(h.total) {
			return float64(uint64(i%64+65)<<(i/64)) / 1e3
		}
	}
	return 0
}
