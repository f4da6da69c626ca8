package operators

import (
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstate"
)

// After a start few rows of state are read whole, and many as they are asked for, also where they take few bytes.
func TestManyRowsAreNotReadWhole(t *testing.T) {
	fn := processFuncOf(func(p *sabot.Proc[int64, keyed, scriptOut]) {
		value := sabot.NewValue[bool](p, "value")
		p.OnRow(func(keyed) error {
			value.Put(true)
			return nil
		})
	})
	for _, rows := range []int{1000, wholeRows + 1} {
		f := newFeed(t, justKey, 0)
		d, out := newDisk(t, f.keyFields()), &recorder{t: t}
		op := newProcessOp(t, fn, f, d)
		if err := op.Batch(f.batch(stamped(rows, 10), nil), out); err != nil {
			t.Fatal(err)
		}
		d.freeze(10)()
		if n := op.(*process).parts[0].Stored(objstate.Interval{}); n > d.now.Whole() {
			t.Fatalf("%d rows take %d bytes: that alone is too much to be read whole", rows, n)
		}
		op = newProcessOp(t, fn, f, d)
		if err := op.Batch(f.batch(stamped(10, 10), nil), out); err != nil {
			t.Fatal(err)
		}
		keys, want := op.(*process).keys.Len(), rows
		if rows > wholeRows {
			want = 10
		}
		if keys != want {
			t.Errorf("of %d rows of state %d are in memory after a batch of 10 keys, want %d", rows, keys, want)
		}
	}
}
