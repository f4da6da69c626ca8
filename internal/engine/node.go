package engine

import (
	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/arrow/batch"
	"github.com/sabot-stream/sabot/operators"
	"github.com/sabot-stream/sabot/timers"
)

// target takes what a node sends downstream. All of them run on the lane's goroutine.
type target interface {
	batch(b *batch.Batch) error // takes over one reference
	watermark(w sabot.Micros) error
}

// node is one operator of a lane with what stands behind it. It is the Collector of its operator.
type node struct {
	lane   *lane
	name   string
	op     operators.Operator
	to     []target
	late   []target
	counts counts
}

// counts of one operator since the last barrier.
type counts struct{ in, out, late, dead int64 }

func (n *node) batch(b *batch.Batch) error {
	n.counts.in += int64(b.Rows())
	leave := n.lane.enter(n, b)
	err := n.op.Batch(b, n)
	leave()
	return err
}

func (n *node) watermark(w sabot.Micros) error {
	leave := n.lane.enter(n, nil)
	err := n.op.Watermark(w, n)
	leave()
	if err != nil {
		return err
	}
	for _, t := range n.to {
		if err := t.watermark(w); err != nil {
			return err
		}
	}
	for _, t := range n.late {
		if err := t.watermark(w); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) tick(now sabot.Micros) error {
	leave := n.lane.enter(n, nil)
	err := n.op.(operators.Ticker).Tick(now, n)
	leave()
	return err
}

// Emit implements operators.Collector.
func (n *node) Emit(b *batch.Batch) error {
	n.counts.out += int64(b.Rows())
	return send(n.to, b)
}

// Late implements operators.Collector.
func (n *node) Late(b *batch.Batch) error {
	if len(n.late) == 0 {
		n.counts.late += int64(b.Rows())
		b.Release()
		return nil
	}
	return send(n.late, b)
}

// Dead implements operators.Collector.
func (n *node) Dead(b *batch.Batch, i int, reason string) error {
	n.counts.dead++
	return n.lane.dead.row(n.name, b, i, reason)
}

// DeadKey implements operators.Collector.
func (n *node) DeadKey(key []byte, at sabot.Micros, reason string) error {
	n.counts.dead++
	return n.lane.dead.key(n.name, n.lane.keyValues(key), at, reason)
}

// Dropped implements operators.Collector.
func (n *node) Dropped(timers int) { n.lane.dropped += int64(timers) }

// send gives b to all targets; it takes over one reference. The rest of the targets see nothing when one fails: the group restarts then.
func send(to []target, b *batch.Batch) error {
	if len(to) == 0 {
		b.Release()
		return nil
	}
	for range len(to) - 1 {
		b.Retain()
	}
	for i, t := range to {
		if err := t.batch(b); err != nil {
			for range to[i+1:] {
				b.Release()
			}
			return err
		}
	}
	return nil
}

// join is where several streams become one: batches pass through, the watermark is the least of the inputs'.
type join struct {
	node    target
	tracker *timers.Tracker
}

// input is one of a join's inputs.
type input struct {
	join *join
	i    int
}

func (t input) batch(b *batch.Batch) error { return t.join.node.batch(b) }

func (t input) watermark(w sabot.Micros) error {
	if w, rose := t.join.tracker.Set(t.i, w); rose {
		return t.join.node.watermark(w)
	}
	return nil
}

// passOn is an operator that does nothing: the node of a union, or of late rows.
type passOn struct{}

func (passOn) Batch(b *batch.Batch, out operators.Collector) error { return out.Emit(b) }
func (passOn) Watermark(sabot.Micros, operators.Collector) error   { return nil }
