// Command pebble runs the same state work on Pebble and on Sabot's state, in turn in one process, and prints the figures of both, Pebble's as the
// baseline. It is a module of its own, so that Pebble is no dependency of Sabot.
//
// The state is 2,000,000 rows of 16-byte keys and 32-byte values. Sabot keeps it as a lane does: in a table, whose changes a barrier writes as segments to a
// folder; Pebble has no write-ahead log, because Sabot has none either, its newest format, and its default compression. Encoding keys is part of the work
// on both sides, and so is Sabot's hashing of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/internal/benchmicro"
)

func main() {
	asJSON := flag.Bool("json", false, "print JSON, one figure a line")
	quick := flag.Bool("quick", false, "little state and few rounds: to see that it works")
	only := flag.String("only", "", "beginnings of the names of figures to measure, with commas between them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opt := benchmicro.Options{Quick: *quick, JSON: *asJSON, Figures: os.Stdout}
	if *only != "" {
		opt.Only = strings.Split(*only, ",")
	}
	s := stores{}
	if err := errors.Join(benchmicro.Measure(ctx, s.works(), opt), s.close()); err != nil {
		fmt.Fprintln(os.Stderr, "bench/pebble:", err)
		if errors.Is(err, context.Canceled) {
			os.Exit(130)
		}
		if sabot.KindOf(err) == sabot.Invalid {
			os.Exit(2)
		}
		os.Exit(1)
	}
}
