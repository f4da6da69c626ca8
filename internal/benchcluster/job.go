package benchcluster

import (
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/datagen"
	"github.com/sabot-stream/sabot/run"
)

// Params are the parameters of the job that is measured. It keeps, for each key, what the last row of the key was and Value bytes besides, and passes
// on each Emit-th row.
type Params struct {
	Rows    int64   `help:"Rows; 0: without end." default:"0"`
	Keys    int64   `help:"Keys; a multiple of 8." default:"10000"`
	Value   int     `help:"Bytes of state for each key." default:"100"`
	Pace    float64 `help:"Rows per second; a run may go on with another." default:"1000"`
	Emit    int64   `help:"Each so-many-th row goes to the sink." default:"1"`
	Windows bool    `help:"Count the rows of each key in windows as well."`
	Samples string  `help:"Folder in which the sinks note what they are given." placeholder:"FOLDER"`
}

const (
	splits = 8
	step   = time.Millisecond // of event time between two rows
	window = 10 * time.Second
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // event time of the first row

// source gives the rows. Those of one key are in one split, because keys are a multiple of the splits: so they come in order.
func (p Params) source() datagen.Source {
	return datagen.Source{Rows: p.Rows, Splits: splits, Rate: p.Pace, Start: start, Step: step}
}

// made is a row of the source.
type made struct {
	Row     int64
	At      time.Time
	Value   int64
	Created time.Time
}

// visit is a row with its key.
type visit struct {
	Row     int64
	At      time.Time
	Value   int64
	Created time.Time
	Visited int64 // key
}

// seen is what is passed on of a row: which of its key's it is, and the digest of what was kept of the one before.
type seen struct {
	Row     int64
	Created time.Time
	Nth     int64
	Before  int64
}

// counted is what a key has had in a window.
type counted struct {
	Visited                int64
	WindowStart, WindowEnd time.Time
	Visits, Value          int64
}

// Main runs the job, whole or in a role, with the command line of the process, and exits.
func Main() { run.Main(Job, run.About[Params]("The job that sabot bench measures.")) }

// Job returns the job.
func Job(p Params) *sabot.Job {
	job := sabot.NewJob("bench")
	keyed := sabot.Map(job.Source("rows", p.source(), sabot.EventTime("at")), "key", func(m made) (visit, error) {
		return visit{m.Row, m.At, m.Value, m.Created, m.Row % p.Keys}, nil
	}).KeyBy("visited")
	sabot.Process(keyed, "latest", p.latest).Sink("seen", sampler[seen]{folder: p.Samples, line: seen.line})
	if p.Windows {
		keyed.Window(sabot.Tumbling(window)).Aggregate("counts", sabot.Count().As("visits"), sabot.Sum("value").As("value")).
			Sink("counted", sampler[counted]{folder: p.Samples, line: counted.line})
	}
	return job
}

// latest keeps the last row of each key, with bytes that depend on it.
func (p Params) latest(proc *sabot.Proc[int64, visit, seen]) {
	nth := sabot.NewValue[int64](proc, "nth")
	kept := sabot.NewValue[string](proc, "kept")
	buf := make([]byte, p.Value)
	proc.OnRow(func(v visit) error {
		n, _ := nth.Get()
		if v.Row%p.Emit == 0 {
			before, _ := kept.Get()
			proc.Emit(seen{v.Row, v.Created, n + 1, digest(before)})
		}
		nth.Put(n + 1)
		fill(buf, v.Row)
		kept.Put(string(buf))
		return nil
	})
}

// fill fills buf with letters that depend on a row and do not compress well.
func fill(buf []byte, row int64) {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
	h := uint64(row)*0x9e3779b97f4a7c15 + 1
	for i := 0; i < len(buf); {
		h ^= h << 13
		h ^= h >> 7
		h ^= h << 17
		for x := h; i < len(buf) && x != 0; x >>= 6 {
			buf[i] = letters[x&63]
			i++
		}
	}
}

// digest is the 64-bit FNV-1a hash of s; that of nothing is 0.
func digest(s string) int64 {
	if s == "" {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return int64(h)
}
