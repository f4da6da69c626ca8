package change

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint"
	"github.com/sabot-stream/sabot/checkpoint/pb"
)

// source looks at a source of the new graph: it goes on where it was, or begins at its beginning.
func (d *decider) source(was, n *sabot.Node) {
	now, old := sourceOf(d.now.Sources, n.Name), sourceOf(d.root.Sources, n.Name)
	if now == nil {
		d.say(n.Name, "", Refused, "its input is not known")
		return
	}
	switch {
	case was == nil || old == nil:
		d.say(n.Name, "", New, "it is read from its beginning")
	case was.Source.Identity != n.Source.Identity:
		d.say(n.Name, "", Dropped, "its input was %s and is %s: the positions in that are dropped, and this is read from its beginning", was.Source.Identity, n.Source.Identity)
	case was.Source.TimeCol != "" && was.Source.TimeCol != n.Source.TimeCol:
		d.say(n.Name, "", Refused, "its event time was column %q and is %q, and what is committed was timed by that: --fresh begins anew", was.Source.TimeCol, n.Source.TimeCol)
		return
	default:
		differs, unread := Splits(old, now)
		for _, text := range differs {
			d.say(n.Name, "", Refused, "%s", text)
		}
		kept := proto.Clone(old).(*pb.Source)
		kept.Schema, kept.Unread = now.Schema, unread
		d.edit.Sources = append(d.edit.Sources, kept)
		d.stateless(was, n)
		return
	}
	begun := proto.Clone(now).(*pb.Source)
	for _, sp := range begun.Splits {
		sp.Group = d.owner()
	}
	d.edit.Sources = append(d.edit.Sources, begun)
}

func (d *decider) sourceGone(n *sabot.Node) {
	rows := int64(0)
	if old := sourceOf(d.root.Sources, n.Name); old != nil {
		for _, sp := range old.Splits {
			rows += sp.Rows
		}
	}
	if rows > 0 {
		d.say(n.Name, "", Dropped, "its positions are dropped: %d rows have been read", rows)
	}
}

// owner returns a group that owns something: what is new is its, until shares are dealt out.
func (d *decider) owner() uint32 {
	if owners := checkpoint.Owners(d.root); len(owners) > 0 {
		return owners[0]
	}
	return d.root.Groups[0].Id
}

// Splits says what has changed of the splits that a run reads, and which have come since.
func Splits(was, now *pb.Source) (differs, unread []string) {
	for _, x := range was.Splits {
		i := slices.IndexFunc(now.Splits, func(s *pb.Split) bool { return s.Id == x.Id })
		switch {
		case i < 0:
			differs = append(differs, fmt.Sprintf("input %s of source %q is no longer there", x.Id, was.Name))
		case now.Splits[i].Version != x.Version:
			differs = append(differs, fmt.Sprintf("input %s of source %q has changed since the job's first start (%s, now %s)", x.Id, was.Name, x.Version,
				now.Splits[i].Version))
		}
	}
	for _, s := range now.Splits {
		if !slices.ContainsFunc(was.Splits, func(x *pb.Split) bool { return x.Id == s.Id }) {
			unread = append(unread, s.Id)
		}
	}
	return differs, unread
}

func sourceOf(sources []*pb.Source, name string) *pb.Source {
	i := slices.IndexFunc(sources, func(s *pb.Source) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return sources[i]
}

// sink looks at a committed sink of the new graph. What waits for it has to be published by the graph of before where this one would not publish it
// as that: to another place, or with other columns than it takes now.
func (d *decider) sink(was, n *sabot.Node) {
	waiting := d.waiting(n.Name)
	switch moved := was != nil && was.Sink.Identity != n.Sink.Identity && !d.root.Cloned; {
	case was == nil && len(waiting) > 0:
		d.say(n.Name, "", Drain, "%s of a sink of that name to be published", countOutputs(waiting))
	case was == nil:
		d.say(n.Name, "", New, "")
	case moved && (len(waiting) > 0 || len(d.root.OldRuns) > 0):
		d.say(n.Name, "", Drain, "%s to be published to %s before it goes to %s", countOutputs(waiting), was.Sink.Identity, n.Sink.Identity)
	case moved:
		d.say(n.Name, "", Changed, "it published to %s and publishes to %s", was.Sink.Identity, n.Sink.Identity)
	case slices.ContainsFunc(waiting, func(o *pb.Output) bool { return !sameSchema(o.Schema, d.now.Sinks[n.Name]) }):
		d.say(n.Name, "", Drain, "%s to be published with the columns of before", countOutputs(waiting))
	default:
		d.stateless(was, n)
	}
}

func (d *decider) sinkGone(n *sabot.Node) {
	if waiting := d.waiting(n.Name); len(waiting) > 0 || len(d.root.OldRuns) > 0 {
		d.say(n.Name, "", Drain, "it is gone, and %s to be published", countOutputs(waiting))
	}
}

// waiting returns the outputs of a sink that are open, or closed and not published yet.
func (d *decider) waiting(sink string) (out []*pb.Output) {
	for _, o := range d.root.Outputs {
		if o.Sink == sink {
			out = append(out, o)
		}
	}
	return out
}

// outputs takes over what waits. An open output whose columns differ in the slightest, as in whether they can be null, is closed: what comes has others.
func (d *decider) outputs() {
	for _, o := range d.root.Outputs {
		o = proto.Clone(o).(*pb.Output)
		o.Closed = o.Closed || !bytes.Equal(o.Schema, d.now.Sinks[o.Sink])
		d.edit.Outputs = append(d.edit.Outputs, o)
	}
}

// sameSchema tells whether two schemas, as outputs hold them, have the same names and types.
func sameSchema(a, b []byte) bool {
	x, y := schemaOf(a), schemaOf(b)
	return x != nil && y != nil && slices.EqualFunc(x.Fields(), y.Fields(), func(f, g arrow.Field) bool { return f.Name == g.Name && arrow.TypeEqual(f.Type, g.Type) })
}

// schemaOf returns nil for what cannot be read.
func schemaOf(b []byte) *arrow.Schema {
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	defer r.Release()
	return r.Schema()
}

// countOutputs counts what waits; without any, what an earlier run has published waits to be removed.
func countOutputs(waiting []*pb.Output) string {
	switch len(waiting) {
	case 0:
		return "outputs of an earlier run wait to be removed, and rows"
	case 1:
		return "1 output waits"
	}
	return fmt.Sprintf("%d outputs wait", len(waiting))
}
