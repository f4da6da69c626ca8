package fault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/sabot-stream/sabot/objstore"
	"github.com/sabot-stream/sabot/objstore/fault"
	"github.com/sabot-stream/sabot/objstore/mem"
	"github.com/sabot-stream/sabot/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Bucket { return fault.Wrap(mem.New(), nil) })
}

var errLost = errors.New("lost")

// with returns a bucket that holds "k", and one around it whose next call has the fault.
func with(t *testing.T, f fault.Fault) (*mem.Bucket, *fault.Bucket, objstore.Version) {
	t.Helper()
	m := mem.New()
	v, err := m.PutIf(t.Context(), "k", []byte("body"), objstore.Absent)
	if err != nil {
		t.Fatal(err)
	}
	return m, fault.Wrap(m, func(c fault.Call) fault.Fault {
		if c.N == 0 {
			return f
		}
		return fault.Fault{}
	}), v
}

func body(t *testing.T, b objstore.Bucket) string {
	t.Helper()
	got, _, err := b.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestWritesFail(t *testing.T) {
	write := map[string]func(ctx context.Context, b objstore.Bucket, v objstore.Version) error{
		"put": func(ctx context.Context, b objstore.Bucket, _ objstore.Version) error {
			return b.Put(ctx, "k", []byte("new"))
		},
		"put if": func(ctx context.Context, b objstore.Bucket, v objstore.Version) error {
			_, err := b.PutIf(ctx, "k", []byte("new"), v)
			return err
		},
	}
	for name, do := range write {
		for _, c := range []struct {
			name        string
			fault       fault.Fault
			then, later string
		}{
			{"before", fault.Fault{Before: errLost}, "body", "body"},
			{"after", fault.Fault{After: errLost}, "new", "new"},
			{"late", fault.Fault{Late: errLost}, "body", "new"},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				m, b, v := with(t, c.fault)
				if err := do(t.Context(), b, v); !errors.Is(err, errLost) {
					t.Errorf("error is %v, want %v", err, errLost)
				}
				if got := body(t, m); got != c.then {
					t.Errorf("after the failure the object is %q, want %q", got, c.then)
				}
				b.ApplyLate()
				if got := body(t, m); got != c.later {
					t.Errorf("later the object is %q, want %q", got, c.later)
				}
			})
		}
	}
}

func TestLateWriteKeepsItsCondition(t *testing.T) {
	m, b, v := with(t, fault.Fault{Late: errLost})
	if _, err := b.PutIf(t.Context(), "k", []byte("late"), v); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	if _, err := b.PutIf(t.Context(), "k", []byte("other"), v); err != nil {
		t.Fatal(err)
	}
	if b.ApplyLate(); body(t, m) != "other" {
		t.Errorf("a late write took effect on a version that is gone: the object is %q", body(t, m))
	}
}

func TestReadsAreWrong(t *testing.T) {
	_, b, _ := with(t, fault.Fault{Flip: 9})
	if got := body(t, b); got != "bndy" {
		t.Errorf("with bit 8 wrong the body is %q, want %q", got, "bndy")
	}
	_, b, _ = with(t, fault.Fault{Short: 1})
	if got, err := b.GetRange(t.Context(), "k", 1, 3); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short read gave %q, %v, want %v", got, err, io.ErrUnexpectedEOF)
	}
	if got, err := b.GetRange(t.Context(), "k", 1, 3); err != nil || !bytes.Equal(got, []byte("ody")) {
		t.Errorf("the next read gave %q, %v", got, err)
	}
}

func TestKillEndsAllCalls(t *testing.T) {
	m, b, _ := with(t, fault.Fault{After: errLost, Kill: true})
	if err := b.Delete(t.Context(), "k"); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	if _, _, err := m.Get(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("the call that killed had no effect: %v", err)
	}
	if err := b.Put(t.Context(), "k", nil); !errors.Is(err, errLost) {
		t.Errorf("a dead process wrote: %v", err)
	}
	for _, err := range b.List(t.Context(), "") {
		if !errors.Is(err, errLost) {
			t.Errorf("a dead process listed: %v", err)
		}
	}
	if n := len(b.Calls()); n != 1 {
		t.Errorf("%d calls are noted, want the one before the death", n)
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	_, b, _ := with(t, fault.Fault{Wait: make(chan struct{})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that waits ended with %v, want %v", err, context.Canceled)
	}
}
