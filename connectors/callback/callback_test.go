package callback_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/connectors/callback"
	"github.com/sabot-stream/sabot/connectors/channel"
	"github.com/sabot-stream/sabot/connectors/stdout"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/run"
)

type word struct {
	Text string
	Size *int64
}

func words(texts ...string) *channel.Source[word] {
	in := channel.New[word]()
	go func() {
		defer in.Close()
		for i, text := range texts {
			w := word{Text: text}
			if i%2 == 0 {
				n := int64(len(text))
				w.Size = &n
			}
			if _, err := in.Send(context.Background(), w); err != nil {
				panic(err)
			}
		}
	}()
	return in
}

func runJob(t *testing.T, job *sabot.Job) error {
	t.Helper()
	_, err := run.Run(t.Context(), job, run.Options{Store: mem.New(), Checkpoint: 10 * time.Millisecond})
	return err
}

func TestRowsReachTheFunctions(t *testing.T) {
	var mu sync.Mutex
	var now, later []string
	var printed bytes.Buffer
	job := sabot.NewJob("words")
	in := job.Source("words", words("one", "two", "three"))
	in.Immediate("now", callback.Immediate(func(_ context.Context, rows []word) error {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range rows {
			now = append(now, r.Text)
		}
		return nil
	}))
	outputs := map[string]bool{}
	in.Sink("later", callback.Committed(func(_ context.Context, id sabot.OutputID, rows []word) error {
		mu.Lock()
		defer mu.Unlock()
		if !outputs[id.String()] {
			for _, r := range rows {
				later = append(later, r.Text)
			}
		}
		outputs[id.String()] = true
		return nil
	}))
	in.Immediate("print", stdout.Sink{Writer: &printed})
	if err := runJob(t, job); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "two", "three"}
	if !slices.Equal(now, want) || !slices.Equal(later, want) {
		t.Errorf("the immediate sink saw %v, the committed one %v, want %v", now, later, want)
	}
	if want := `{"text":"one","size":3}` + "\n" + `{"text":"two","size":null}` + "\n" + `{"text":"three","size":5}` + "\n"; printed.String() != want {
		t.Errorf("printed\n%swant\n%s", printed.String(), want)
	}
}

func TestTypesAreCheckedFirst(t *testing.T) {
	type other struct{ Text int64 }
	job := sabot.NewJob("words")
	in := job.Source("words", words("one"))
	in.Immediate("now", callback.Immediate(func(context.Context, []other) error { return nil }))
	in.Sink("later", callback.Committed(func(context.Context, sabot.OutputID, []other) error { return nil }))
	err := runJob(t, job)
	for _, name := range []string{`sink "now"`, `sink "later"`, `"text"`} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the job's error is %v, want it to name %s", err, name)
		}
	}
	if sabot.KindOf(err) != sabot.Invalid {
		t.Errorf("its kind is %s, want invalid", sabot.KindOf(err))
	}
}

func TestErrorsOfFunctions(t *testing.T) {
	calls := 0
	job := sabot.NewJob("words")
	job.Source("words", words("one")).Sink("later", callback.Committed(func(context.Context, sabot.OutputID, []word) error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	}))
	if err := runJob(t, job); err != nil || calls != 3 {
		t.Errorf("after %d calls the job ended with %v, want it to try until the third", calls, err)
	}
	job = sabot.NewJob("words")
	job.Source("words", words("one")).Sink("later", callback.Committed(func(context.Context, sabot.OutputID, []word) error {
		return sabot.Permanent(errors.New("never"))
	}))
	if err := runJob(t, job); err == nil || !strings.Contains(err.Error(), "never") {
		t.Errorf("the job ended with %v, want what the function said", err)
	}
	job = sabot.NewJob("words")
	job.Source("words", words("one")).Immediate("now", callback.Immediate(func(context.Context, []word) error { return errors.New("broken") }))
	if err := runJob(t, job); err == nil || !strings.Contains(err.Error(), `sink "now"`) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the job ended with %v, want the sink's name and what it said", err)
	}
}
