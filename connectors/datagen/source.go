package datagen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/sabot-stream/sabot"
)

// Source is a sabot.Source of made-up rows. The zero value gives rows without end, as fast as they are read.
type Source struct {
	Seed     uint64
	Rows     int64         // of all splits together; 0: without end
	Splits   int           // 1 when 0
	Rate     float64       // rows per second of all splits together; 0: no limit. A run may go on with another
	Begin    time.Time     // when the first row is due; zero: when a run first opens the split. With a Rate only
	Start    time.Time     // event time of row 0; zero: with a Rate event times are the times when rows are due, else the year 2020 begins
	Step     time.Duration // event time between two rows; 0: what the rate gives, a millisecond without one. Whole microseconds
	Disorder time.Duration // how much earlier than that an event time may be: what MaxDelay has to allow
	Keys     int64         // 1000 when 0
	Skew     float64       // 0: keys are equally frequent; s: key k has a share of about 1/(k+1)^s
	Bytes    int           // length of payload; 0: there is no such column
}

// defaultStart is the event time of row 0 where nothing else is said.
var defaultStart = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	defaultKeys = 1000
	defaultStep = time.Millisecond
	defaultMax  = 8192    // rows of a chunk
	mostBytes   = 4 << 20 // of its payloads
)

// withDefaults returns s with what zero values stand for.
func (s Source) withDefaults() Source {
	if s.Splits == 0 {
		s.Splits = 1
	}
	if s.Keys == 0 {
		s.Keys = defaultKeys
	}
	if s.Rate == 0 && s.Start.IsZero() {
		s.Start = defaultStart
	}
	if s.Step == 0 {
		s.Step = defaultStep
		if s.Rate > 0 {
			s.Step = max(time.Microsecond, time.Duration(float64(time.Second)/s.Rate))
		}
	}
	return s
}

// live tells whether event times are the times when rows are due.
func (s Source) live() bool { return s.Rate > 0 && s.Start.IsZero() }

// interval is the time between two rows of a split; 0 without a rate.
func (s Source) interval() time.Duration {
	if s.Rate == 0 {
		return 0
	}
	return time.Duration(math.Round(float64(s.Splits) / s.Rate * float64(time.Second)))
}

// check reports all that makes no sense.
func (s Source) check() error {
	var bad []error
	say := func(wrong bool, format string, args ...any) {
		if wrong {
			bad = append(bad, fmt.Errorf("datagen: "+format, args...))
		}
	}
	say(s.Rows < 0, "Rows is %d; it is 0 for rows without end", s.Rows)
	say(s.Splits < 0 || s.Splits > 1<<16, "Splits is %d; at most 65536 can be", s.Splits)
	say(s.Rate < 0 || math.IsNaN(s.Rate) || math.IsInf(s.Rate, 0), "Rate is %v rows per second; 0 stands for no limit", s.Rate)
	say(s.Rate > 0 && (s.interval() < 1 || float64(s.Splits)/s.Rate > 1e8), "Rate is %v rows per second, over %d splits: a row would be due each %s",
		s.Rate, s.Splits, s.interval())
	say(s.Rate == 0 && !s.Begin.IsZero(), "Begin is set, and no Rate: it says when rows are due")
	say(s.Step < 0 || s.Step%time.Microsecond != 0 && !s.live(), "Step is %s; it has to be whole microseconds", s.Step)
	say(s.Disorder < 0, "Disorder is negative: %s", s.Disorder)
	say(s.Keys < 0, "Keys is %d", s.Keys)
	say(s.Skew < 0 || math.IsNaN(s.Skew) || s.Skew > 10, "Skew is %v; it is from 0 to 10", s.Skew)
	say(s.Bytes < 0 || s.Bytes > 1<<20, "Bytes is %d; a payload has at most 1 MiB", s.Bytes)
	return sabot.WithKind(sabot.Invalid, errors.Join(bad...))
}

// Identity implements sabot.Identifier: all that rows depend on. Another Rate gives the same rows at other times.
func (s Source) Identity() string {
	s = s.withDefaults()
	start := "live"
	if !s.live() {
		start = fmt.Sprintf("%s + %s", s.Start.UTC().Format(time.RFC3339Nano), s.Step)
	}
	return fmt.Sprintf("datagen seed %d, %d rows in %d splits, %s, disorder %s, %d keys, skew %v, %d bytes", s.Seed, s.Rows, s.Splits, start, s.Disorder,
		s.Keys, s.Skew, s.Bytes)
}

func (s Source) schema() *arrow.Schema {
	us := &arrow.TimestampType{Unit: arrow.Microsecond}
	fields := []arrow.Field{{Name: "row", Type: arrow.PrimitiveTypes.Int64}, {Name: "at", Type: us}, {Name: "key", Type: arrow.PrimitiveTypes.Int64},
		{Name: "value", Type: arrow.PrimitiveTypes.Int64}}
	if s.Bytes > 0 {
		fields = append(fields, arrow.Field{Name: "payload", Type: arrow.BinaryTypes.String})
	}
	if s.Rate > 0 {
		fields = append(fields, arrow.Field{Name: "created", Type: us})
	}
	return arrow.NewSchema(fields, nil)
}

// Describe implements sabot.Source.
func (s Source) Describe(context.Context, sabot.Env) (*arrow.Schema, []sabot.Split, error) {
	s = s.withDefaults()
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	splits := make([]sabot.Split, s.Splits)
	for i := range splits {
		splits[i] = sabot.Split{ID: sabot.SplitID(strconv.Itoa(i)), Bounded: s.Rows > 0}
	}
	return s.schema(), splits, nil
}

// Open implements sabot.Source.
func (s Source) Open(_ context.Context, env sabot.Env, schema *arrow.Schema, split sabot.Split, at sabot.Position) (sabot.Reader, error) {
	s = s.withDefaults()
	if err := s.check(); err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(string(split.ID))
	if err != nil || n < 0 || n >= s.Splits {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("datagen: there is no split %q: Splits is %d", split.ID, s.Splits))
	}
	r := &reader{s: s, schema: schema, split: int64(n), most: env.MaxRows, now: env.Now, interval: s.interval()}
	if r.most <= 0 {
		r.most = defaultMax
	}
	if s.Bytes > 0 {
		r.most = min(r.most, max(1, mostBytes/s.Bytes))
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.columns, err = columnsOf(schema, s.schema()); err != nil {
		return nil, err
	}
	if s.Rows > 0 {
		r.rows = (s.Rows - r.split + int64(s.Splits) - 1) / int64(s.Splits)
	}
	return r, r.seek(at)
}
