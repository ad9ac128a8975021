// Story does what a program with the official Go client does, chapter by chapter, against the server in
// PUBSUB_EMULATOR_HOST.
//
//	PUBSUB_EMULATOR_HOST=127.0.0.1:8085 story [CHAPTER...]
//
// Each chapter has topics and subscriptions of its own (project SLUICE_PROJECT) and prints "ok NAME" or "FAIL NAME: why".
// The chapters run at the same time; survives-restart runs last and alone, and only with SLUICE_RESTART: it prints a line
// "RESTART" when it wants the server killed and started again with the same port and data.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

const last = "survives-restart"

type chapter struct {
	name string
	tell func()
}

var chapters = []chapter{
	{"publishes-batched", publishesBatched},
	{"thousand-in-one-request", thousandInOneRequest},
	{"nine-megabyte-message", nineMegabyteMessage},
	{"filtered", filtered},
	{"ordered", ordered},
	{"ack-and-nack", ackAndNack},
	{"exactly-once", exactlyOnce},
	{"dead-letters", deadLetters},
	{"flow-control", flowControl},
	{"unary-pull", unaryPull},
	{"seek-and-snapshot", seekAndSnapshot},
	{"errors", refusals},
	{"update-and-list", updateAndList},
	{"idle-a-minute", idleAMinute},
	{"clean-shutdown", cleanShutdown},
	{last, survivesRestart},
}

// passes prints what became of the chapter. One that fails panics (see fail).
func (c chapter) passes() (passed bool) {
	if c.name == last && os.Getenv("SLUICE_RESTART") == "" {
		fmt.Println("skip", c.name)
		return true
	}
	defer func() {
		if why := recover(); why != nil {
			line := strings.Join(strings.Fields(fmt.Sprint(why)), " ")
			fmt.Printf("FAIL %s: %s\n", c.name, line[:min(len(line), 2000)])
		}
	}()
	c.tell()
	fmt.Println("ok", c.name)
	return true
}

// choose gives the chapters of these names: all of them for none.
func choose(names []string) ([]chapter, error) {
	if len(names) == 0 {
		return chapters, nil
	}
	known := map[string]chapter{}
	for _, c := range chapters {
		known[c.name] = c
	}
	var chosen []chapter
	for _, name := range names {
		c, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("no such chapter: %s", name)
		}
		chosen = append(chosen, c)
	}
	return chosen, nil
}

// run tells whether all of these pass.
func run(chosen []chapter) bool {
	var failed atomic.Bool
	var together sync.WaitGroup
	var alone []chapter
	for _, c := range chosen {
		if c.name == last {
			alone = append(alone, c)
			continue
		}
		together.Go(func() {
			if !c.passes() {
				failed.Store(true)
			}
		})
	}
	together.Wait()
	for _, c := range alone {
		if !c.passes() {
			failed.Store(true)
		}
	}
	return !failed.Load()
}

func main() {
	chosen, err := choose(os.Args[1:])
	if err == nil {
		err = connect()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !run(chosen) {
		os.Exit(1)
	}
}
